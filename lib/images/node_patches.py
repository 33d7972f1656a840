"""Patches of an image around its nodes, for what reads labels."""

import numpy as np
from numpy.typing import NDArray

from model.graph_kinds import PATCH_HEIGHT, PATCH_WIDTH


def node_patches(pixels: NDArray[np.uint8], positions_xy: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Patches (A, 48, 144) of an image (H, W), 0 = ink, around positions (A, 2) in pixels; paper beyond the image."""
    half_height, half_width = PATCH_HEIGHT // 2, PATCH_WIDTH // 2
    padded = np.pad(pixels, ((half_height, half_height), (half_width, half_width)), constant_values=255)
    height, width = pixels.shape
    columns, rows = np.rint(positions_xy).astype(int).clip(0, (width - 1, height - 1)).T
    down, across = np.ogrid[:PATCH_HEIGHT, :PATCH_WIDTH]
    patches: NDArray[np.uint8] = padded[rows[:, None, None] + down, columns[:, None, None] + across]
    return patches
