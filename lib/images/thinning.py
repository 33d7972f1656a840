"""Strokes made thinner. Pixels are uint8 (H, W), 0 ink, 255 paper."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.images.strokes import Pixels, edge_width, lengths_of, straight_strokes, stroke_width
from lib.sections.images import CleaningSettings

SHORTEST_PX = 15.0  # stroke length in pixels; in smaller drawings letters would break
THINNEST_PX = 1.9  # strokes up to this width are not thinned
WIDE_FROM = 0.065  # mean stroke width over length from which all strokes count as wide (small drawings)
FINE_BELOW_PX = 6.0  # strokes thinner than this are processed at twice the size
EDGE_FRACTION = 0.6  # times the darkest ink nearby; lighter pixels are the edge of a stroke
RIDGE_PX, RIDGE_FROM, RIDGE_FACTOR = 3, 64, 1.3  # pixels to either side; least darkness; times that of either side
LETTER_WIDTH = 1.6  # stroke width of letters, times the width of other strokes
LONG_FROM = 0.5  # stroke lengths; longer straight strokes are not part of a letter
LETTER_BELOW = 0.8  # stroke lengths; letters are smaller
LETTER_FROM = 1.5  # stroke widths; narrower ink is a piece of a stroke, not a letter
SURE_FRACTION = 0.22  # times the stroke width; ink this far inside a stroke is certainly stroke
BRIDGE_FRACTION = 1.5  # times the squared stroke width; smaller joints of two strokes are bridges
STROKE_FRACTION = 3.0  # times the stroke width; thinned ink with fewer pixels belongs to a letter
WEDGE_FROM = 1.5  # stroke widths; wider ink is not a plain stroke
WEDGE_LENGTH = (0.35, 2.0)  # length of the wide part of a wedge, in stroke lengths
WEDGE_TAIL = 0.6  # fraction of its length over which a wedge must narrow
WEDGE_ASPECT = 1.2  # least length of a wedge over its greatest width
WEDGE_TAPER = 0.8  # least correlation of width with the distance from the wide end


def thin_if_wide(pixels: Pixels, length: float, is_worn: bool, settings: CleaningSettings) -> Pixels:
    """Pixels whose strokes, `length` pixels long, are thinned where they are wide; (2 H, 2 W) if those were fine.

    Fine strokes that are blurred stay as they are: they have no core, and come out fine when the image is made smaller.
    """
    width = stroke_width(pixels)
    if width <= edge_width(pixels):
        return pixels
    is_wide = width > THINNEST_PX or (not is_worn and width > WIDE_FROM * length)
    if length < SHORTEST_PX or not is_wide or width <= settings.thin_from * length:
        return pixels
    return thin_strokes(pixels, width, length, settings.thin_to)


def thin_strokes(pixels: Pixels, width: float, length: float, fraction: float) -> Pixels:
    """Strokes of `width` and `length` pixels brought to a width of `fraction` of their length, but never under a pixel.

    Where two strokes touch by a few pixels alone they are parted. Fine strokes come out twice as large, (2 H, 2 W).
    """
    factor = 2 if width < FINE_BELOW_PX else 1
    if factor > 1:
        pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    ink = local_ink(pixels, math.ceil(factor * width))
    letters = letters_of(pixels, ink, factor * width, factor * length)
    strokes, wanted = ink & (1 - letters), fraction * factor * length
    thinned = part_bridges(strokes, narrowed(strokes, wanted)) | narrowed(letters, LETTER_WIDTH * wanted)
    thinned |= wedges_of(ink, factor * width, factor * length)
    return np.where(thinned > 0, 0, 255).astype(np.uint8)


def local_ink(pixels: Pixels, reach_px: int) -> NDArray[np.uint8]:
    """1 where a pixel is at least EDGE_FRACTION as dark as the darkest within `reach_px`: pale strokes stay whole.

    So do those beside a dark one that are darker than what lies RIDGE_PX to either side, such as a letter's at a bond.
    """
    side = 2 * reach_px + 1
    darkness = 255 - pixels
    darkest = cv2.dilate(darkness, np.ones((side, side), np.uint8))
    is_ink = (darkness > 0) & (darkness >= EDGE_FRACTION * darkest)
    for step in ((0, RIDGE_PX), (RIDGE_PX, 0)):
        kernel = np.zeros((2 * step[0] + 1, 2 * step[1] + 1), np.uint8)
        kernel[0, 0] = kernel[-1, -1] = 1
        is_ink |= (darkness >= RIDGE_FROM) & (darkness > RIDGE_FACTOR * cv2.dilate(darkness, kernel))
    return is_ink.astype(np.uint8)


def letters_of(pixels: Pixels, ink: NDArray[np.uint8], width: float, length: float) -> NDArray[np.uint8]:
    """1 where the ink (H, W), 0 and 1, of strokes of that width and length belongs to letters, which may touch strokes.

    Letters are what is left without the long straight strokes, if it is as large as a letter.
    """
    strokes = straight_strokes(pixels)
    strokes = strokes[lengths_of(strokes) > LONG_FROM * length]
    # Their ends may lie in a letter that they touch.
    shortened = strokes + width / lengths_of(strokes)[:, None, None] * (strokes[:, ::-1] - strokes)
    bonds = np.zeros_like(ink)
    for begin, end in np.rint(shortened).astype(int).tolist():
        cv2.line(bonds, begin, end, 1, math.ceil(width) + 2)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink & (1 - bonds), connectivity=8)
    is_letter = stats[:, 2:4].max(axis=1) < LETTER_BELOW * length
    is_letter[0] = False
    for label in np.flatnonzero(is_letter).tolist():
        left, top, box_width, box_height, _ = stats[label]
        ys, xs = np.nonzero(labels[top : top + box_height, left : left + box_width] == label)
        sides = cv2.minAreaRect(np.stack((xs, ys), axis=1).astype(np.float32))[1]
        is_letter[label] = min(sides) + 1 > LETTER_FROM * width
    letters: NDArray[np.uint8] = is_letter[labels].astype(np.uint8)
    return letters


def wedges_of(ink: NDArray[np.uint8], width: float, length: float) -> NDArray[np.uint8]:
    """1 where the ink (H, W), 0 and 1, of strokes of that width and length is the wide part of a solid wedge.

    It is wider than a stroke and narrows over most of its length, which two strokes that touch do not.
    """
    least, most = (fraction * length for fraction in WEDGE_LENGTH)
    side = 2 * round((WEDGE_FROM * width - 1) / 2) + 1
    wide = cv2.morphologyEx(ink, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(wide, connectivity=8)
    is_wedge = np.zeros(len(stats), bool)
    for label, (left, top, box_width, box_height, _) in enumerate(stats[1:].tolist(), 1):
        if not least <= np.hypot(box_width, box_height) <= most:
            continue
        ys, xs = np.nonzero(labels[top : top + box_height, left : left + box_width] == label)
        widths = _widths(np.stack((xs, ys), axis=1).astype(np.float32))
        widest = int(widths.argmax())
        tail = max(widths[widest:], widths[widest::-1], key=len)
        is_slender = len(tail) >= max(least, WEDGE_TAIL * len(widths), WEDGE_ASPECT * widths[widest])
        is_wedge[label] = is_slender and np.corrcoef(np.arange(len(tail)), tail)[0, 1] < -WEDGE_TAPER
    return is_wedge[labels].astype(np.uint8)


def _widths(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """How wide the shape of points (N, 2) is at each pixel along the line of their widest spread (L,), smoothed."""
    centred = points - points.mean(axis=0)
    along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    widths = np.bincount(np.rint(along - along.min()).astype(int))
    smoothed: NDArray[np.float64] = np.convolve(widths, np.full(3, 1 / 3), "same")
    return smoothed


def part_bridges(ink: NDArray[np.uint8], thinned: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Thinned ink (H, W), 0 and 1, without what joined strokes that only just touched, such as a double bond's."""
    width = _width(ink)
    side = 2 * max(1, round(SURE_FRACTION * width)) + 1
    sure = cv2.dilate(cv2.erode(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))), np.ones((side, side)))
    doubtful = thinned & (1 - sure)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(doubtful, connectivity=8)
    _, numbers, of_strokes, _ = cv2.connectedComponentsWithStats(thinned & sure, connectivity=8)
    is_stroke = of_strokes[:, cv2.CC_STAT_AREA] >= STROKE_FRACTION * width
    is_stroke[0] = False
    parted, strokes = thinned.copy(), np.pad(is_stroke[numbers].astype(np.uint8), 1)
    for label in 1 + np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] <= BRIDGE_FRACTION * width):
        left, top, box_width, box_height, _ = stats[label]
        bridge = (labels[top : top + box_height, left : left + box_width] == label).astype(np.uint8)
        around = cv2.dilate(np.pad(bridge, 1), np.ones((3, 3), np.uint8))
        touched = around & strokes[top : top + box_height + 2, left : left + box_width + 2]
        if cv2.connectedComponents(touched, connectivity=8)[0] > 2:  # paper and two strokes: not a letter's end
            parted[top : top + box_height, left : left + box_width][bridge > 0] = 0
    return parted


def _width(ink: NDArray[np.uint8]) -> float:
    return stroke_width(np.where(ink > 0, 0, 255).astype(np.uint8))


def narrowed(ink: NDArray[np.uint8], wanted: float) -> NDArray[np.uint8]:
    """Ink (H, W), 0 and 1, as wide as wanted about its middle lines, but nowhere wider than it was."""
    side = max(1, round(wanted))
    return ink & cv2.dilate(middle_lines(ink), np.ones((side, side), np.uint8))


def middle_lines(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Ink (H, W), 0 and 1, taken off from the edges until its lines are a pixel wide: what is joined stays joined.

    The algorithm is Guo and Hall's (1989), doi 10.1145/62065.62074.
    """
    peeled, before = np.pad(ink, 1), -1
    while before != (before := int(np.count_nonzero(peeled))):
        for taken_off in _TAKEN_OFF:
            codes = cv2.filter2D(peeled, cv2.CV_8U, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
            peeled[cv2.LUT(codes, taken_off) > 0] = 0
    return peeled[1:-1, 1:-1]


# A pixel's eight neighbours as a byte: clockwise from the upper one, which is bit 0.
_NEIGHBOURS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)


def _taken_off(is_second: bool) -> NDArray[np.uint8]:
    """Of each of 256 neighbourhoods of an ink pixel, 1 if half a pass takes the pixel off."""
    taken = np.zeros(256, np.uint8)
    for code in range(256):
        p2, p3, p4, p5, p6, p7, p8, p9 = (code >> bit & 1 for bit in range(8))  # as the paper calls them
        num_joined = sum(
            not gap and (one or other) for gap, one, other in ((p2, p3, p4), (p4, p5, p6), (p6, p7, p8), (p8, p9, p2))
        )
        num_sides = min((p9 | p2) + (p3 | p4) + (p5 | p6) + (p7 | p8), (p2 | p3) + (p4 | p5) + (p6 | p7) + (p8 | p9))
        is_kept = (p2 | p3 | (1 - p5)) & p4 if is_second else (p6 | p7 | (1 - p9)) & p8
        taken[code] = num_joined == 1 and 2 <= num_sides <= 3 and not is_kept
    return taken


_TAKEN_OFF = (_taken_off(False), _taken_off(True))
