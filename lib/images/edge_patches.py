"""Patches of an image along the ways between two points, for what reads edges."""

import cv2
import numpy as np
from numpy.typing import NDArray

from model.graph_kinds import EDGE_PATCH_HEIGHT, EDGE_PATCH_WIDTH, EDGE_PX


def edge_patches(pixels: NDArray[np.uint8], ends: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Patches (E, 32, 72) of an image (H, W), 0 = ink, between ends (E, 2, 2) in pixels; paper beyond the image.

    The first end lies at the left of the middle row, the second 36 pixels to the right of it.
    """
    if not len(ends):
        return np.zeros((0, EDGE_PATCH_HEIGHT, EDGE_PATCH_WIDTH), np.uint8)
    begin, right = ends[:, 0], (ends[:, 1] - ends[:, 0]) / EDGE_PX  # (E, 2)
    down = np.stack((-right[:, 1], right[:, 0]), axis=1)
    columns = np.arange(EDGE_PATCH_WIDTH) - (EDGE_PATCH_WIDTH - 1 - EDGE_PX) / 2
    rows = np.arange(EDGE_PATCH_HEIGHT)[:, None] - (EDGE_PATCH_HEIGHT - 1) / 2
    x, y = (
        (begin[:, axis, None, None] + right[:, axis, None, None] * columns + down[:, axis, None, None] * rows)
        .reshape(len(ends), EDGE_PATCH_HEIGHT * EDGE_PATCH_WIDTH)
        .astype(np.float32)
        for axis in (0, 1)
    )
    patches = cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=255.0)
    cut: NDArray[np.uint8] = patches.reshape(len(ends), EDGE_PATCH_HEIGHT, EDGE_PATCH_WIDTH)
    return cut
