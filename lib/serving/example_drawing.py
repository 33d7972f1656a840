"""A drawing of toluene, which warms models up and stands in the examples of the OpenAPI page."""

import math

import cv2
import numpy as np

from lib.images.cleaning import encode_png

BOND_PX, WIDTH_PX, HEIGHT_PX = 40, 200, 140
CENTRE_X_PX, CENTRE_Y_PX = 110, 70


def example_png() -> bytes:
    """The drawing as the bytes of a PNG file."""
    pixels = np.full((HEIGHT_PX, WIDTH_PX), 255, np.uint8)
    outer, inner = _hexagon(BOND_PX), _hexagon(BOND_PX * 0.8)
    for index in range(6):
        cv2.line(pixels, outer[index], outer[(index + 1) % 6], 0, 1)
        if index % 2 == 0:
            cv2.line(pixels, inner[index], inner[(index + 1) % 6], 0, 1)
    left = outer[3]
    cv2.line(pixels, left, (left[0] - BOND_PX, left[1]), 0, 1)
    return encode_png(pixels)


def _hexagon(radius_px: float) -> list[tuple[int, int]]:
    """Corners (x, y) in pixels; the first lies to the right, the fourth to the left."""
    angles = [math.radians(60 * index) for index in range(6)]
    return [
        (round(CENTRE_X_PX + radius_px * math.cos(angle)), round(CENTRE_Y_PX + radius_px * math.sin(angle)))
        for angle in angles
    ]
