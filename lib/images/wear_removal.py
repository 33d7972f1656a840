"""Repairs worn drawings: removes black specks and closes gaps in strokes. Pixels are uint8, 0 is ink, 255 is paper."""

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.images.stray_ink import Groups, ink_groups
from lib.images.strokes import INK_BELOW, Pixels, grey_of

DITHERED_FROM = 0.21  # holes for each pixel of ink; up to 0.2 where wide strokes are worn, 0.23 to 0.28 where dithered
DITHER_BLUR_PX = 1.0  # standard deviation
MENDED_FROM = 0.8  # fraction of a line that must be ink for its middle to become ink


def remove_specks(pixels: Pixels, speck_max_px: int, groups: Groups | None = None) -> tuple[Pixels, int]:
    """Turn specks to paper: groups of at most `speck_max_px` ink pixels with, by default, no ink two pixels around.

    Strokes of old drawings fall into fragments as small as specks, but the fragments lie close to each other.
    """
    groups = groups or ink_groups(grey_of(pixels))
    is_speck = (groups.num_ink <= speck_max_px) & (groups.num_ink > 0)
    cleaned = pixels.copy()
    cleaned[is_speck[groups.labels] & groups.ink] = 255
    return cleaned, int(is_speck.sum())


def without_dither(pixels: Pixels) -> Pixels:
    """Blur dithered strokes, grey ones that became a pattern of ink and paper; others stay as they are.

    Such strokes have many holes, pixels of paper with ink on three or four of their four sides: a gap between lines has
    it on two. Half of their pixels are ink at least, so that the blurred ones are twice as dark.
    """
    ink = (pixels < INK_BELOW).astype(np.uint8)
    sides = cv2.filter2D(ink, cv2.CV_8U, np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]), borderType=cv2.BORDER_CONSTANT)
    if np.count_nonzero((sides >= 3) & (ink == 0)) <= DITHERED_FROM * np.count_nonzero(ink):
        return pixels
    darkness = cv2.GaussianBlur(255 - pixels, (0, 0), DITHER_BLUR_PX)
    return 255 - cv2.add(darkness, darkness)  # which ends at 255


def mend_strokes(pixels: Pixels, reach_px: int) -> Pixels:
    """Ink the pixels that strokes run through: those with ink on most of a line of `reach_px` pixels to either side.

    Lines in twelve directions are tried. The ends of strokes do not grow and letters do not fill, as they would under a
    morphological closing, because there the ink lies on one side or is too short.
    """
    ink = (pixels < INK_BELOW).astype(np.uint8)
    is_run_through = np.zeros_like(ink)
    for line in line_kernels(reach_px):
        support = cv2.filter2D(ink, cv2.CV_8U, line, borderType=cv2.BORDER_CONSTANT)
        is_run_through |= cv2.compare(support, math.ceil(MENDED_FROM * int(line.sum())), cv2.CMP_GE)
    mended = pixels.copy()
    mended[(is_run_through > 0) & (ink == 0)] = 0
    return mended


@lru_cache
def line_kernels(reach_px: int) -> tuple[NDArray[np.uint8], ...]:
    """Straight lines through the middle of a (2 reach + 1)-sided square, the middle itself left out."""
    kernels = []
    for angle in np.arange(12) * np.pi / 12:
        kernel = np.zeros((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
        end = np.rint(np.array([np.cos(angle), np.sin(angle)]) * reach_px).astype(int)
        cv2.line(kernel, tuple(reach_px - end), tuple(reach_px + end), 1)
        kernel[reach_px, reach_px] = 0
        kernels.append(kernel)
    return tuple(kernels)
