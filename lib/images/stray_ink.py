"""Ink that is no part of a drawing: frames, rules, scan edges, words beside it, and shapes that are no drawing at all.

Pixels are uint8 (H, W), 0 is ink, 255 is paper; masks are bool (H, W), True where ink is stray. Lengths are in pixels.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.images.strokes import INK_BELOW, Pixels, typical_stroke_length

Mask = NDArray[np.bool_]

LONG_FRACTION = 0.25  # of the longer side of all ink, from which a group may be a line or a frame
BORDER_FRACTION = 0.01  # of a frame's side: lines of scans are not quite straight
INNER_FRACTION = 0.08  # of a box's sides; a frame has next to no ink so far inside
ROUNDED = 0.8  # fraction of a rounded frame's ink that lies along the sides of its box
RULE = 0.25  # of a table's side, least length of its rules
OF_RULES = 0.95  # fraction of a table's ink that its rules are, and of its sides that they cover
ALONE = 0.3  # stroke lengths around a line in which a multiple bond has its other lines
SURELY_LONG = 7.0  # stroke lengths; no straight row of bonds is as long
WORDS_BELOW = 1.3  # stroke lengths; words have no part as large as this,
LARGE_WORDS_BELOW = 1.6  # nor those of several letters as large as this
NEAR_WORDS_FROM = 0.45  # stroke lengths; a bond ends nearer to its label
LETTERS_OF_NEAR_WORDS = 3  # in one line, at least
PARAGRAPHS_FROM = 0.25  # stroke lengths; lines of text lie nearer to each other, and seldom to a drawing
LETTERS_OF_PARAGRAPHS = 12  # at least
SMALL_LETTER, MOSTLY = 0.5, 0.8  # stroke lengths of small letters, and the least fraction of them in a paragraph
DRAWING_OVER_TEXT = 1.5  # longest piece of a drawing, over that of a paragraph with a larger box
LINE_HEIGHT = 1.5  # of a line of text, in heights of its tallest letter
PIECES_IF_WORN = 0.035  # pieces for each pixel of ink; 0.005 to 0.02 in whole drawings, 0.08 to 0.16 in worn ones
LATTICE_COVER, LATTICE_LINES = 0.9, 3  # least fraction of a side that a table's line covers; fewest in either direction
LATTICE_REST = 0.05  # most of a table's ink that lies in no such line
CELL_FRACTION = 0.12  # of a stroke length, side of the cells in which distances are measured
ROUND_SPREAD = 0.01  # standard deviation of a circle's distances from its middle, as a part of them
BLOB_WIDTH = 0.4  # width of strokes over their length, above which they are none
SQUARE_FROM = 0.9  # shorter over longer side of a box that may be a ring of four
THINNEST_BOND = 1 / 160  # width of strokes over their length, below which they are lines


class Groups(NamedTuple):
    """Ink in groups: what touches when ink is a little wider is one group. Group 0 is paper."""

    labels: NDArray[np.int32]  # (H, W), of ink and what is next to it
    ink: Mask  # (H, W)
    num_ink: NDArray[np.int64]  # (G,), ink pixels
    boxes: NDArray[np.int32]  # (G, 4), left, top, width, height

    def mask(self, group: int) -> Mask:
        """The ink of one group."""
        return (self.labels == group) & self.ink


class Parts(NamedTuple):
    """P parts of the ink that lie apart, P at least 1. Part 0 is paper."""

    labels: NDArray[np.int32]  # (H, W), of ink
    boxes: NDArray[np.int64]  # (P + 1, 4), left, top, width, height
    longest: NDArray[np.int64]  # (P + 1,), longer side of the longest piece of touching ink

    @property
    def num_parts(self) -> int:
        return len(self.boxes) - 1

    @property
    def drawing(self) -> int:
        """The part with the largest box, or that with a much longer piece: a paragraph has short pieces."""
        largest, longest = int(np.argmax(self.boxes[:, 2] * self.boxes[:, 3])), int(np.argmax(self.longest))
        return longest if self.longest[longest] >= DRAWING_OVER_TEXT * self.longest[largest] else largest


class LetterSizes(NamedTuple):
    """The pieces of touching ink that each of P parts has, and their sizes in pixels; 0 for paper."""

    num: NDArray[np.int64]  # (P + 1,)
    longest: NDArray[np.int64]  # (P + 1,), the longest side of all
    tallest: NDArray[np.int64]  # (P + 1,)


def ink_groups(pixels: Pixels, reach_px: int = 1) -> Groups:
    """Find groups; ink within 2 `reach_px` pixels touches.

    The reach is at most the shorter side of the image: a sheet of ink has wide strokes, and dilating takes long.
    """
    ink = pixels < INK_BELOW
    side = 2 * min(reach_px, *pixels.shape) + 1
    near = cv2.dilate(ink.astype(np.uint8), np.ones((side, side), np.uint8))
    num_labels, labels, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    num_ink = np.bincount(labels[ink], minlength=num_labels)
    num_ink[0] = 0
    return Groups(labels, ink, num_ink, stats[:, :4])


def long_lines(pixels: Pixels, groups: Groups, width: float, least: float) -> Mask | None:
    """Frames, tables and straight lines longer than `least` stroke lengths that touch nothing else; None without any.

    `width` is that of strokes. The length of strokes is measured without them, since they would decide it.
    """
    lefts, tops, widths, heights = groups.boxes[1:].T
    if not len(lefts):
        return None
    extent = max((lefts + widths).max() - lefts.min(), (tops + heights).max() - tops.min())
    large = 1 + np.flatnonzero(np.maximum(widths, heights) >= LONG_FRACTION * extent)
    found = {group: sides for group in large.tolist() if (sides := _sides_of_line(groups, group, width))}
    for group in large.tolist():
        if group not in found and _is_around_all_else(groups, group, width):
            found[group] = tuple(groups.boxes[group, 2:].tolist())
    if not found:
        return None
    rest = np.where(np.isin(groups.labels, list(found)) & groups.ink, 255, pixels).astype(np.uint8)
    length = typical_stroke_length(rest)
    if length is None:
        return None
    is_long = [
        group
        for group, sides in found.items()
        if max(sides) > least * length
        and (
            min(sides) > length or max(sides) > SURELY_LONG * length or _is_alone(groups, group, round(ALONE * length))
        )
    ]
    return np.isin(groups.labels, is_long) & groups.ink if is_long else None


def _sides_of_line(groups: Groups, group: int, width: float) -> tuple[float, float] | None:
    """The sides of the box, turned as need be, of a group that is a frame, a part of one or a straight bar; or None."""
    left, top, box_width, box_height = groups.boxes[group]
    labels = groups.labels[top : top + box_height, left : left + box_width]
    inset_x, inset_y = round(INNER_FRACTION * box_width), round(INNER_FRACTION * box_height)
    mask = (labels == group) & groups.ink[top : top + box_height, left : left + box_width]
    inner = mask[inset_y : box_height - inset_y, inset_x : box_width - inset_x]
    if min(box_width, box_height) > 0.1 * max(box_width, box_height) and inner.sum() > 0.4 * mask.sum():
        return None
    ys, xs = np.nonzero(mask)
    points = np.stack((xs, ys), axis=1).astype(np.float32)  # (N, 2)
    middle, sides, angle = cv2.minAreaRect(points)
    slack = 2 * width + 2 + BORDER_FRACTION * max(sides)
    if min(sides) <= slack:
        return sides
    if min(sides) < max(sides) / 12 and len(points) > 0.6 * sides[0] * sides[1]:
        return sides  # a thick bar, such as the edge of a scan
    turn = np.deg2rad(angle)
    along = (points - middle) @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], np.float32)
    to_border = (np.array(sides) / 2 - np.abs(along)).min(axis=1)
    return sides if min(sides) > 4 * slack and np.mean(to_border <= slack) > 0.98 else None


def _is_around_all_else(groups: Groups, group: int, width: float) -> bool:
    """Whether a group is a table, a rounded frame or an ellipse with all other ink inside its box."""
    left, top, box_width, box_height = groups.boxes[group]
    slack = round(2 * width + 2 + BORDER_FRACTION * max(box_width, box_height))
    if min(box_width, box_height) <= 4 * slack:  # such as a chain
        return False
    others = groups.boxes[(groups.num_ink > 0) & (np.arange(len(groups.boxes)) != group)]
    starts, ends = others[:, :2], others[:, :2] + others[:, 2:]
    if not len(others) or (starts <= (left, top)).any() or (ends >= (left + box_width, top + box_height)).any():
        return False
    rows, columns = slice(top, top + box_height), slice(left, left + box_width)
    mask = (groups.labels[rows, columns] == group) & groups.ink[rows, columns]
    if _is_ellipse(mask, width):
        return True
    along = mask.copy()
    along[slack:-slack, slack:-slack] = False
    if np.count_nonzero(along) > ROUNDED * np.count_nonzero(mask):
        return True
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8))
    rules = np.zeros_like(near)
    for side in ((1, round(RULE * box_width)), (round(RULE * box_height), 1)):
        rules |= cv2.morphologyEx(near, cv2.MORPH_OPEN, np.ones(side, np.uint8))
    across = np.min((along[:slack].any(axis=0).mean(), along[-slack:].any(axis=0).mean()))
    down = np.min((along[:, :slack].any(axis=1).mean(), along[:, -slack:].any(axis=1).mean()))
    return bool(min(across, down, rules[mask].mean()) > OF_RULES)


def _is_lattice(mask: Mask) -> bool:
    """Whether a shape, cut to its box, is nothing but lines from side to side and from top to bottom, as a table."""
    lines = [mask.mean(axis=axis) >= LATTICE_COVER for axis in (1, 0)]  # (H,), (W,)
    nums = [np.count_nonzero(np.diff(line.astype(np.int8), prepend=0) == 1) for line in lines]
    rest = mask[~lines[0]][:, ~lines[1]]
    return bool(min(nums) >= LATTICE_LINES and np.count_nonzero(rest) <= LATTICE_REST * np.count_nonzero(mask))


def _is_ellipse(mask: Mask, width: float) -> bool:
    """Whether ink (H, W) that fills its box is an upright ellipse of strokes of that width."""
    height, box_width = mask.shape
    ys, xs = np.nonzero(mask)
    far = np.hypot((xs + 0.5) / box_width - 0.5, (ys + 0.5) / height - 0.5)
    return bool(far.std() < ROUND_SPREAD * far.mean() + 0.3 * width / max(box_width, height))


def _is_alone(groups: Groups, group: int, around_px: int) -> bool:
    """Whether no other ink lies beside the middle of a line."""
    left, top, width, height = groups.boxes[group]
    shorten_x, shorten_y = (side // 4 if side > around_px else 0 for side in (width, height))
    rows = slice(max(0, top + shorten_y - around_px), top + height - shorten_y + around_px)
    columns = slice(max(0, left + shorten_x - around_px), left + width - shorten_x + around_px)
    return not (groups.ink[rows, columns] & (groups.labels[rows, columns] != group)).any()


def words_apart(
    pixels: Pixels, unmended: Pixels, length: float, from_lengths: float, from_lengths_if_worn: float
) -> Mask | None:
    """Words and numbers that stand `from_lengths` stroke lengths from all else; None if there are none.

    `unmended` is the image (H, W) before mending, `length` that of strokes. Where there are words it is measured
    again, on the drawing alone: many letters would decide it. In worn images, whose strokes are in
    pieces, a lost bond may leave a label alone, so that another distance counts.
    """
    near = _parts_apart(pixels, length * min(from_lengths, NEAR_WORDS_FROM), length * CELL_FRACTION)
    if near.num_parts < 2:
        return None
    left, top, width, height = near.boxes[near.drawing]
    rows, columns = slice(top, top + height), slice(left, left + width)
    drawing = pixels[rows, columns]
    is_worn = is_in_pieces(unmended[rows, columns])
    again = typical_stroke_length(drawing)
    length = max(length, again or 0.0)
    parts = _parts_apart(pixels, length * (from_lengths_if_worn if is_worn else from_lengths), length * CELL_FRACTION)
    # Mending joins letters; without it the strokes of worn drawings fall into pieces as small as letters.
    letters = pixels if is_worn else unmended
    words = _are_words(parts, letters, length)[parts.labels]
    if not is_worn:
        near = _parts_apart(pixels, length * min(from_lengths, NEAR_WORDS_FROM), length * CELL_FRACTION)
        words |= _are_lines_of_text(near, letters, length)[near.labels]
        nearer = _parts_apart(pixels, length * PARAGRAPHS_FROM, length * CELL_FRACTION / 2)
        words |= _are_paragraphs(nearer, letters, length)[nearer.labels]
    return words if words.any() else None


def is_in_pieces(pixels: Pixels) -> bool:
    ink = (pixels < INK_BELOW).astype(np.uint8)
    num_pieces = cv2.connectedComponents(ink, connectivity=8)[0] - 1
    return bool(num_pieces > PIECES_IF_WORN * np.count_nonzero(ink))


def _are_words(parts: Parts, letters: Pixels, length: float) -> Mask:
    """Which parts (P + 1,) have only pieces as small as letters, beside strokes of that length. The drawing is none."""
    sizes = _letter_sizes(parts, letters)
    are_words = (sizes.num > 0) & (sizes.longest < np.where(sizes.num < 2, WORDS_BELOW, LARGE_WORDS_BELOW) * length)
    are_words[parts.drawing] = False
    return are_words


def _are_lines_of_text(parts: Parts, letters: Pixels, length: float) -> Mask:
    """Which parts (P + 1,) are several letters beside each other, which no label that far from a bond is."""
    sizes = _letter_sizes(parts, letters)
    are_lines = (sizes.num >= LETTERS_OF_NEAR_WORDS) & (sizes.longest < WORDS_BELOW * length)
    are_lines &= parts.boxes[:, 3] <= LINE_HEIGHT * sizes.tallest
    are_lines[parts.drawing] = False
    return are_lines


def _are_paragraphs(parts: Parts, letters: Pixels, length: float) -> Mask:
    """Which parts (P + 1,) are many pieces, none of them large and most much smaller than a bond: lines of text."""
    part_of, boxes = _pieces(parts.labels, letters)
    is_small = boxes[:, 2:].max(axis=1) < SMALL_LETTER * length
    num_small = np.bincount(part_of[is_small], minlength=parts.num_parts + 1)
    sizes = _letter_sizes(parts, letters)
    are_paragraphs = (sizes.num >= LETTERS_OF_PARAGRAPHS) & (num_small >= MOSTLY * sizes.num)
    are_paragraphs &= sizes.longest < LARGE_WORDS_BELOW * length
    are_paragraphs[parts.drawing] = False
    return are_paragraphs


def _letter_sizes(parts: Parts, letters: Pixels) -> LetterSizes:
    part_of, boxes = _pieces(parts.labels, letters)
    longest, tallest = np.zeros((2, parts.num_parts + 1), np.int64)
    np.maximum.at(longest, part_of, boxes[:, 2:].max(axis=1))
    np.maximum.at(tallest, part_of, boxes[:, 3])
    return LetterSizes(np.bincount(part_of, minlength=parts.num_parts + 1), longest, tallest)


def _pieces(labels: NDArray[np.int32], pixels: Pixels) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The part (N,) and the box (N, 4) of each piece of touching ink in parts (H, W): left, top, width, height."""
    ink = (pixels < INK_BELOW) & (labels > 0)
    num_labels, pieces, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    part_of = np.zeros(num_labels, np.int32)
    part_of[pieces[ink]] = labels[ink]
    return part_of[1:], stats[1:, :4]


def _parts_apart(pixels: Pixels, distance: float, cell: float) -> Parts:
    """The ink in parts that lie further than `distance` from each other, measured in cells of about `cell` pixels."""
    ink = pixels < INK_BELOW
    side = max(1, round(cell))
    height, width = pixels.shape
    rows, columns = -(-height // side), -(-width // side)
    padded = np.zeros((rows * side, columns * side), np.uint8)
    padded[:height, :width] = ink * np.uint8(255)
    cells = cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA) > 0  # (h, w)
    reach = max(1, round(distance / side))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach + 1, reach + 1))
    room = np.pad(cells.astype(np.uint8), reach + 1)
    num_labels, labels = cv2.connectedComponents(cv2.dilate(room, kernel), connectivity=8)
    labels = labels[reach + 1 : -reach - 1, reach + 1 : -reach - 1]
    labels = np.repeat(np.repeat(labels, side, axis=0), side, axis=1)[:height, :width] * ink
    part_of, boxes = _pieces(labels, pixels)
    starts, ends = np.full((num_labels, 2), max(height, width)), np.zeros((num_labels, 2), np.int64)
    np.minimum.at(starts, part_of, boxes[:, :2])
    np.maximum.at(ends, part_of, boxes[:, :2] + boxes[:, 2:])
    longest = np.zeros(num_labels, np.int64)
    np.maximum.at(longest, part_of, boxes[:, 2:].max(axis=1))
    return Parts(labels, np.hstack((starts, np.maximum(0, ends - starts))), longest)


def is_lone_shape(groups: Groups, width: float, length: float | None) -> bool:
    """Whether all ink is one line, circle, frame, blob or empty table: nothing that could be read as a drawing.

    `width` and `length` are those of strokes.
    """
    if length is None or width > BLOB_WIDTH * length:
        return True
    present = np.flatnonzero(groups.num_ink)
    if len(present) > 1:
        return False
    group = int(present[0])
    sides = _sides_of_line(groups, group, width)
    if sides is not None:
        return min(sides) < SQUARE_FROM * max(sides) or width < THINNEST_BOND * max(sides)
    left, top, box_width, box_height = groups.boxes[group]
    mask = groups.mask(group)[top : top + box_height, left : left + box_width]
    return _is_ellipse(mask, width) or _is_lattice(mask)
