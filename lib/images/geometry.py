"""Turning, cropping and enlarging images, with the transform of positions. Pixels are uint8, 0 is ink, 255 is paper."""

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.images.strokes import INK_BELOW, Pixels, grey_of

Transform = NDArray[np.float64]  # (2, 3): [x', y'] = transform @ [x, y, 1]


def is_sideways(pixels: Pixels) -> bool:
    """Whether the ink is higher than wide: drawings are laid out to be wider than high."""
    left, top, right, bottom = ink_box(pixels)
    return (bottom - top) > 1.05 * (right - left)


def turn_clockwise(pixels: Pixels, transform: Transform) -> tuple[Pixels, Transform]:
    """Turn by 90 degrees clockwise: (x, y) goes to (H - 1 - y, x)."""
    turn = np.array([[0.0, -1.0, pixels.shape[0] - 1.0], [1.0, 0.0, 0.0]])
    return np.ascontiguousarray(np.rot90(pixels, k=-1)), then(transform, turn)


def crop_to_ink(pixels: Pixels, transform: Transform, margin_px: int) -> tuple[Pixels, Transform]:
    """Cut the paper off, leaving up to `margin_px` pixels of it around the ink."""
    left, top, right, bottom = ink_box(pixels)
    left, top = max(0, left - margin_px), max(0, top - margin_px)
    right, bottom = min(pixels.shape[1], right + margin_px), min(pixels.shape[0], bottom + margin_px)
    shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]])
    return pixels[top:bottom, left:right], then(transform, shift)


def enlarging(factor_x: float, factor_y: float) -> Transform:
    """The transform of an image so many times as wide and high. Centres correspond: x' + 0.5 = factor_x (x + 0.5)."""
    return np.array([[factor_x, 0.0, 0.5 * factor_x - 0.5], [0.0, factor_y, 0.5 * factor_y - 0.5]])


def ink_box(pixels: Pixels) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) around the ink, right and bottom exclusive; the whole image if there is none."""
    left, top, width, height = cv2.boundingRect((grey_of(pixels) < INK_BELOW).view(np.uint8))
    return (left, top, left + width, top + height) if width else (0, 0, pixels.shape[1], pixels.shape[0])


def then(first: Transform, second: Transform) -> Transform:
    """The transform that does `first`, then `second`."""
    return second @ np.vstack([first, [0.0, 0.0, 1.0]])
