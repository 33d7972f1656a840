"""Numbers that a drawer puts beside every atom or bond, which would be read as labels.

Pixels are uint8 (H, W), 0 ink, 255 paper. Lengths are in pixels. P pieces of ink.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.images.letter_pieces import Mask, Pieces, gaps, pieces_of
from lib.images.strokes import Pixels, lengths_of, straight_strokes, stroke_width

LARGEST, SMALLEST, SMALLEST_PX = 0.8, 0.08, 4  # stroke lengths; sides of letters
THICK = 2.0  # stroke widths; narrower pieces are strokes, or the digit 1
SOLID = 0.85  # fraction of a bar's rectangle that is ink
UPRIGHT, SLIM = 0.75, 1.6  # heights over widths: of letters at least; of the digit 1 at least
LOWER = 0.72  # heights of digits over that of the tallest letter
ALIKE, ALIKE_FRACTION = 0.12, 0.8  # difference of digits in height; the fraction of them that are so alike
ONE_ALIKE = 0.25  # the same of the digit 1
NARROW = 0.74  # widths of digits over their heights; few letters are as narrow
OF_LABEL = 0.16  # heights of letters; what is nearer belongs to a label, such as the 3 of CH3
OF_NUMBER = 0.3  # heights of digits; what is nearer belongs to the same number
BESIDE_DIGIT = 0.5  # heights of digits; the digit 1 is nearer to another digit, else it may be a stroke
FEWEST = 10  # digits of numbers
PER_LABEL = 2  # of them for each digit of a label: a drawing without numbers has the latter only
# Bonds end at labels, and go on or bend at numbers. Stroke lengths, of strokes that may be bonds at least, from a free
# end to the nearest other stroke at least, and to a digit that it may belong to at most; most digits at free ends.
BOND_FROM, FREE_FROM, AT_END, MAX_AT_ENDS = 0.4, 0.12, 0.3, 0.11
MAX_STROKES = 1000  # more are no drawing, and each is compared with each


def without_atom_numbers(pixels: Pixels, length: float) -> Pixels:
    """Pixels, whose strokes are `length` long, without digits that are lower than the letters and belong to no label.

    A drawing of which less can be told, such as one without letters, stays as it is.
    """
    pieces = pieces_of(pixels, LARGEST * length)
    numbers = _numbers(pieces, max(1.0, stroke_width(pixels)), length)
    if not numbers.any() or _fraction_at_free_ends(pixels, pieces.boxes[numbers], length) > MAX_AT_ENDS:
        return pixels
    is_number = numbers[pieces.labels]
    around = cv2.dilate(is_number.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.where(is_number | (around & (pieces.labels == 0)), 255, pixels).astype(np.uint8)


def _numbers(pieces: Pieces, width: float, length: float) -> Mask:
    """Which pieces (P,) are digits of numbers, in a drawing with strokes of that width and length."""
    numbers: Mask = np.zeros(len(pieces.boxes), bool)
    is_small = (pieces.sides[:, 1] > 0) & (pieces.heights >= max(SMALLEST_PX, SMALLEST * length))
    is_letter = is_small & (pieces.filled <= SOLID) & (pieces.sides[:, 0] >= THICK * width)
    is_letter &= pieces.heights >= UPRIGHT * pieces.widths
    tallest = float(pieces.heights[is_letter].max(initial=0))
    is_low = is_letter & (pieces.heights < LOWER * tallest)
    if np.count_nonzero(is_low) < FEWEST:
        return numbers
    height = float(np.median(pieces.heights[is_low]))
    off_height = np.abs(pieces.heights - height)
    are_alike = off_height[is_low] <= max(1, ALIKE * height)
    is_slim = is_small & ~is_letter & (pieces.heights >= SLIM * pieces.widths) & (off_height <= ONE_ALIKE * height)
    digits = np.flatnonzero(is_low | is_slim)
    is_sure = is_low[digits]
    is_of_label = _joined_to(pieces, digits, is_letter & ~is_low, OF_LABEL * tallest, OF_NUMBER * height)
    is_beside_digit = (gaps(pieces.boxes[digits], pieces.boxes[is_low]) <= BESIDE_DIGIT * height).any(axis=1)
    num_of_labels, sure = int(np.count_nonzero(is_sure & is_of_label)), digits[is_sure & ~is_of_label]
    if are_alike.mean() < ALIKE_FRACTION or len(sure) < max(FEWEST, PER_LABEL * num_of_labels):
        return numbers
    if np.median(pieces.widths[sure] / pieces.heights[sure]) > NARROW:
        return numbers
    numbers[digits[~is_of_label & (is_sure | is_beside_digit)]] = True
    return numbers


def _joined_to(pieces: Pieces, digits: np.ndarray, others: Mask, reach: float, next_reach: float) -> Mask:
    """Which of the digits (D,) are within reach of other pieces, or within the next of digits that are."""
    is_joined: Mask = np.asarray((gaps(pieces.boxes[digits], pieces.boxes[others]) <= reach).any(axis=1))
    near = gaps(pieces.boxes[digits], pieces.boxes[digits]) <= next_reach
    num_joined = 0
    while num_joined < (num_joined := int(np.count_nonzero(is_joined))):
        is_joined |= near[:, is_joined].any(axis=1)
    return is_joined


def _fraction_at_free_ends(pixels: Pixels, boxes: NDArray[np.int32], length: float) -> float:
    """The fraction of boxes (N, 4) at which straight strokes end that touch no other stroke there; 1 if too many."""
    strokes = straight_strokes(pixels)
    strokes = strokes[lengths_of(strokes) > BOND_FROM * length]
    if not 0 < len(strokes) <= MAX_STROKES:
        return 1.0
    ends = strokes.reshape(-1, 2)  # (E, 2)
    begins, ways = strokes[:, 0], strokes[:, 1] - strokes[:, 0]
    along = ((ends[:, None] - begins) * ways).sum(axis=2) / (ways**2).sum(axis=1)  # (E, S), 0 at the beginning
    to_strokes = np.linalg.norm(ends[:, None] - begins - along.clip(0, 1)[..., None] * ways, axis=2)
    to_strokes[np.arange(len(ends)), np.arange(len(ends)) // 2] = np.inf  # its own
    free = ends[to_strokes.min(axis=1) > FREE_FROM * length]
    starts, stops = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:]
    far = np.linalg.norm(np.maximum(np.maximum(starts - free, free - stops), 0), axis=2)  # (N, F)
    return float(np.mean((far < AT_END * length).any(axis=1)))
