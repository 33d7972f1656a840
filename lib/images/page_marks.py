"""Removes what a page has from border to border beside a drawing: headings on dark bars, ruled lines, scratches.

Pixels are uint8, (H, W) grey or (H, W, 3) RGB. The paper is light: pages that are dark stay as they are.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.images.strokes import Pixels, grey_of

LIGHT_FROM = 128  # level of paper from which a page is light
BARS_AT_PX = 512  # longer side at which bars are looked for
BAR_BELOW = 0.75  # times the paper's level
BAR_PX, BAR_FRACTION = 15, 1 / 30  # least width of a bar in the image, and the same over the image's shorter side
BAR_FILLED, LARGEST_BAR = 0.85, 0.4  # least fraction of its box that is dark, and most of the image
BAR_BORDERS = 3  # borders of the image that a bar reaches
LINE_COVER, LINE_PX = 0.95, 3  # least fraction of a row or column that is dark, and most of them side by side
DARKER_BY = 24  # levels below the paper's, from which a pixel belongs to a line
LIKE_LINE = 45  # levels, most that a pixel of a line differs from the line's usual colour: other ink differs more
DARK_INK = 60  # level of ink
FLAT = 0.08  # height of all else over the length of lines along it, below which they may be the strokes of a chain
RIM_PX = 2  # a line nearer to the border is a frame
MARGIN = 0.03  # of a side; a line goes so far beyond all else on both sides, or it may be a bond


def without_page_marks(pixels: Pixels) -> Pixels:
    """The pixels without bars and lines from border to border; the same array where there are none."""
    return without_lines(without_bars(pixels))


def without_bars(pixels: Pixels) -> Pixels:
    """The pixels without dark bars along a border, such as a slide's heading, and without what stands in them."""
    factor = min(1.0, BARS_AT_PX / max(pixels.shape[:2]))
    size = tuple(max(1, round(factor * side)) for side in pixels.shape[1::-1])
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    grey = grey_of(small)
    height, width = grey.shape
    paper = float(np.median(grey))
    side = max(3, round(factor * BAR_PX), round(BAR_FRACTION * min(height, width))) | 1
    dark = (grey < BAR_BELOW * paper).astype(np.uint8)
    wide = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((side, side), np.uint8), borderValue=0)
    if paper < LIGHT_FROM or not wide.any():
        return pixels
    around = 2 * side
    closed = cv2.morphologyEx(np.pad(wide, around), cv2.MORPH_CLOSE, np.ones((around + 1, around + 1), np.uint8))
    stats = cv2.connectedComponentsWithStats(closed[around:-around, around:-around], connectivity=8)[2]
    found = pixels
    for left, top, box_width, box_height, area in stats[1:].tolist():
        right, bottom = left + box_width, top + box_height
        num_borders = (left <= 1) + (top <= 1) + (right >= width - 1) + (bottom >= height - 1)
        is_bar = num_borders >= BAR_BORDERS and area > BAR_FILLED * box_width * box_height
        if is_bar and box_width * box_height < LARGEST_BAR * height * width:
            found = found.copy() if found is pixels else found
            top, bottom = _around(top, bottom, found.shape[0] / height)
            left, right = _around(left, right, found.shape[1] / width)
            found[top:bottom, left:right] = np.median(small, axis=(0, 1)).astype(np.uint8)
    return found


def _around(start: int, end: int, factor: float) -> tuple[int, int]:
    """A range of the reduced image as one of the image itself, with the edge of what is in it."""
    return max(0, int((start - 2) * factor)), int(np.ceil((end + 2) * factor))


def without_lines(pixels: Pixels) -> Pixels:
    """The pixels without thin lines that go from border to border, beyond the drawing on both sides.

    So do scratches and the lines of ruled or squared paper. What crosses them stays joined.
    """
    darkest = pixels if pixels.ndim == 2 else cv2.min(cv2.min(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    paper = np.median(pixels[:: 1 + len(pixels) // BARS_AT_PX], axis=(0, 1))  # () or (3,)
    if paper.min() < LIGHT_FROM:
        return pixels
    is_dark = darkest < paper.min() - DARKER_BY
    lines = [_thin(is_dark.mean(axis=axis) >= LINE_COVER) for axis in (1, 0)]  # (H,), (W,)
    if not any(line.any() for line in lines):
        return pixels
    rows, columns = (cv2.dilate(line.astype(np.uint8)[:, None], np.ones((3, 1), np.uint8))[:, 0] == 0 for line in lines)
    rest = is_dark & rows[:, None] & columns
    found = pixels
    for axis, line in enumerate(lines):
        length = pixels.shape[1 - axis]
        along, beside = (np.flatnonzero(rest.any(axis=one)) for one in (axis, 1 - axis))
        if not len(along) or along[0] < MARGIN * length or along[-1] >= (1 - MARGIN) * length:
            continue
        if np.ptp(beside) < FLAT * length:
            continue
        for begin, end in _runs(line):
            if begin < RIM_PX or end > len(line) - RIM_PX:
                continue
            found = found.copy() if found is pixels else found
            _erase(found.swapaxes(0, axis), begin, end, paper)
    return found


def _erase(across: Pixels, begin: int, end: int, paper: NDArray[np.float64]) -> None:
    """Erase some lines of an image (L, N, ...) next to each other; ink of another colour in them stays.

    Lines about as dark as ink are filled from the lines beside them.
    """
    fill = np.minimum(across[begin - 1], across[end])
    for line in across[begin:end]:
        usual = np.median(line, axis=0)
        is_like = np.abs(line.astype(int) - usual).reshape(len(line), -1).max(axis=1) <= LIKE_LINE
        line[is_like] = fill[is_like] if usual.min() < LIKE_LINE + DARK_INK else paper.astype(np.uint8)


def _runs(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where each run of true values begins and ends."""
    edges = np.diff(line.astype(np.int8), prepend=0, append=0)
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))


def _thin(line: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those of the rows or columns (N,) of which at most LINE_PX lie side by side."""
    thin = np.zeros_like(line)
    for begin, end in _runs(line):
        thin[begin:end] = end - begin <= LINE_PX
    return thin
