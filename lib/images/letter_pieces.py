"""Pieces of touching ink that may be letters or digits, and how large they are and how far apart.

Pixels are uint8 (H, W), 0 ink, 255 paper. P pieces; piece 0 is paper. Lengths are in pixels.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.images.strokes import INK_BELOW, Pixels

Mask = NDArray[np.bool_]  # (P,)

MAX_LETTERS = 2000  # more pieces as small as letters are no drawing


class Pieces(NamedTuple):
    """Pieces of touching ink."""

    labels: NDArray[np.int32]  # (H, W)
    boxes: NDArray[np.int32]  # (P, 4), left, top, width, height
    num_ink: NDArray[np.int32]  # (P,)
    # (P, 2), the shorter and the longer side of the narrowest rectangle around a piece, turned as need be; 0 for pieces
    # too large to be letters, and for all if there are more than MAX_LETTERS others.
    sides: NDArray[np.float64]

    @property
    def widths(self) -> NDArray[np.int32]:
        return self.boxes[:, 2]

    @property
    def heights(self) -> NDArray[np.int32]:
        return self.boxes[:, 3]

    @property
    def filled(self) -> NDArray[np.float64]:
        """The fraction (P,) of the rectangle that is ink; 0 for pieces too large to be letters."""
        areas = self.sides.prod(axis=1)
        return np.divide(self.num_ink, areas, out=np.zeros_like(areas), where=areas > 0)


def pieces_of(pixels: Pixels, largest: float) -> Pieces:
    """Find the pieces. Those with a box of a side of `largest` or more are too large to be letters."""
    ink = (pixels < INK_BELOW).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    sides = np.zeros((len(stats), 2))
    small = 1 + np.flatnonzero(stats[1:, 2:4].max(axis=1) < largest)
    for piece in small.tolist() if len(small) <= MAX_LETTERS else ():
        left, top, width, height, _ = stats[piece]
        ys, xs = np.nonzero(labels[top : top + height, left : left + width] == piece)
        sides[piece] = np.sort(cv2.minAreaRect(np.stack((xs, ys), axis=1).astype(np.float32))[1]) + 1
    return Pieces(labels, stats[:, :4], stats[:, 4], sides)


def gaps(boxes: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.int32]:
    """How far boxes (N, 4) and others (M, 4) are apart (N, M), across or down, whichever is more; negative inside."""
    starts, ends = (one[:, None] for one in (boxes[:, :2], boxes[:, :2] + boxes[:, 2:]))
    apart: NDArray[np.int32] = np.maximum(starts - (others[:, :2] + others[:, 2:]), others[:, :2] - ends).max(axis=2)
    return apart
