"""Letters much smaller than bonds, made as large beside them as letters usually are.

A cleaned image has bonds of one length, at which such letters could not be read.
Pixels are uint8 (H, W), 0 ink, 255 paper. Lengths are in pixels. P pieces of ink.
"""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.images.geometry import Transform, then
from lib.images.letter_pieces import Mask, Pieces, gaps, pieces_of
from lib.images.strokes import Pixels, stroke_width

SMALL_BELOW, WANTED = 0.27, 0.42  # stroke lengths; heights of letters that are enlarged, and of enlarged ones
# Fractions of letters that may be larger, since two may touch: of few, where one may be, and of many. Where more are,
# the small ones are digits of labels or numbers beside atoms.
MAX_LARGE_OF_FEW, MAX_LARGE = 1 / 3, 0.1
SMALLEST, SMALLEST_PX, LARGEST = 0.05, 5, 0.42  # stroke lengths; longer sides of small letters
LARGEST_OF_ALL, COMPACT = 0.8, 0.45  # stroke lengths, longer sides of other letters; shorter over longer sides of those
THICK, THICK_PX = 1.6, 4  # stroke widths; shorter sides of letters at least
BAR_FILLED, BAR_SLENDER = 0.8, 0.6  # a bar is filled so far, and less wide than that for its length
FLAT = 0.4  # heights over widths of letters at least: two may touch
OF_LABEL = 0.13 / 2  # stroke lengths; letters of a label are less than twice as far apart
BESIDE = 0.4  # heights of letters; what is no letter and nearer may belong to it:
LINE_OFF, LINE_HEIGHT, LINE_WIDTH = 0.15, 0.85, 0.4  # an l, on the same line, as high, and narrow for its height,
SIGN = 0.75  # or a sign or a small digit, at most so high and wide; heights of letters
EDGE_PX = 2  # paper around the ink of a label that is enlarged with it


class _Label(NamedTuple):
    """The letters of a label."""

    pixels: Pixels  # (h, w)
    mask: NDArray[np.bool_]  # (h, w), its ink with the grey edges
    left: int
    top: int


def with_larger_letters(pixels: Pixels, transform: Transform, length: float) -> tuple[Pixels, Transform]:
    """Pixels, whose strokes are `length` long, with every label enlarged about its middle if letters are small.

    Paper is added around them then.
    """
    pieces = pieces_of(pixels, LARGEST_OF_ALL * length)
    are_letters = _are_letters(pieces, max(1.0, stroke_width(pixels)), length)
    num_letters = np.count_nonzero(are_letters)
    num_large = np.count_nonzero(are_letters & (pieces.heights >= SMALL_BELOW * length))
    are_letters &= pieces.boxes[:, 2:].max(axis=1) < LARGEST * length
    if num_large > min(MAX_LARGE_OF_FEW * num_letters, max(1, MAX_LARGE * num_letters)) or not are_letters.any():
        return pixels, transform
    height = float(np.median(pieces.heights[are_letters]))
    factor = WANTED * length / height
    near = cv2.dilate(are_letters[pieces.labels].astype(np.uint8), _square(OF_LABEL * length))
    members = (are_letters | _belong_to_letters(pieces, are_letters, height))[pieces.labels]
    labels = list(_labels(pixels, cv2.connectedComponents(near, connectivity=8)[1] * members))
    margin = round(factor * max(max(label.pixels.shape) for label in labels))
    enlarged = pixels.copy()
    for label in labels:
        _at(enlarged, label)[label.mask] = 255
    enlarged = np.pad(enlarged, margin, constant_values=255)
    placed = [_placed(label, factor, margin) for label in labels]
    for label in placed:  # bonds end at a label
        _at(enlarged, label)[:] = 255
    for label in placed:
        np.minimum(_at(enlarged, label), label.pixels, out=_at(enlarged, label))
    return enlarged, then(transform, np.array([[1.0, 0.0, margin], [0.0, 1.0, margin]]))


def _are_letters(pieces: Pieces, width: float, length: float) -> Mask:
    """Which pieces (P,) are letters, in a drawing with strokes of that width and length."""
    shorter, longer = pieces.sides.T
    is_bar = (pieces.filled > BAR_FILLED) & (shorter < BAR_SLENDER * longer)
    are_letters: Mask = pieces.boxes[:, 2:].max(axis=1) >= max(SMALLEST_PX, SMALLEST * length)
    are_letters &= ~is_bar & (shorter >= max(THICK_PX, THICK * width)) & (pieces.heights >= FLAT * pieces.widths)
    are_letters &= (longer < LARGEST * length) | (shorter >= COMPACT * longer)
    return are_letters


def _belong_to_letters(pieces: Pieces, are_letters: Mask, height: float) -> Mask:
    """Which other pieces (P,) stand beside letters of that height as an l, a sign or a small digit does."""
    others = np.flatnonzero((pieces.sides[:, 1] > 0) & ~are_letters)
    _, tops, widths, heights = pieces.boxes[others].T
    letters = pieces.boxes[are_letters]
    is_beside = gaps(pieces.boxes[others], letters) <= BESIDE * height  # (O, L)
    off_line = np.abs((tops + heights)[:, None] - (letters[:, 1] + letters[:, 3]))
    is_tall = (heights >= LINE_HEIGHT * height) & (widths < LINE_WIDTH * heights)
    is_line = (off_line <= LINE_OFF * height) & is_tall[:, None]
    is_sign = (np.maximum(widths, heights) <= SIGN * height)[:, None]
    belong = np.zeros(len(are_letters), bool)
    belong[others] = (is_beside & (is_line | is_sign)).any(axis=1)
    return belong


def _labels(pixels: Pixels, numbers: NDArray[np.int32]) -> Iterator[_Label]:
    """The labels whose ink has the same number (H, W), which is 0 elsewhere."""
    ys, xs = np.nonzero(numbers)
    of = numbers[ys, xs]
    order = np.argsort(of, kind="stable")
    for ink in np.split(order, np.flatnonzero(np.diff(of[order])) + 1):
        top, left = max(0, ys[ink].min() - EDGE_PX), max(0, xs[ink].min() - EDGE_PX)
        rows, columns = slice(top, ys[ink].max() + 1 + EDGE_PX), slice(left, xs[ink].max() + 1 + EDGE_PX)
        mask = cv2.dilate((numbers[rows, columns] == of[ink[0]]).astype(np.uint8), _square(1)) > 0
        yield _Label(np.where(mask, pixels[rows, columns], 255).astype(np.uint8), mask, left, top)


def _placed(label: _Label, factor: float, margin: int) -> _Label:
    """A label enlarged about its middle, in an image with a margin."""
    larger = cv2.resize(label.pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    grown = [(now - before) / 2 for now, before in zip(larger.shape, label.pixels.shape, strict=True)]
    return _Label(larger, larger < 255, round(label.left + margin - grown[1]), round(label.top + margin - grown[0]))


def _at(pixels: Pixels, label: _Label) -> Pixels:
    """The part of an image where a label is."""
    height, width = label.pixels.shape
    return pixels[label.top : label.top + height, label.left : label.left + width]


def _square(reach: float) -> NDArray[np.uint8]:
    side = 2 * max(1, round(reach)) + 1
    return np.ones((side, side), np.uint8)
