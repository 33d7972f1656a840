"""Patches are cut around nodes."""

import numpy as np

from lib.images.node_patches import node_patches
from model.graph_kinds import PATCH_HEIGHT, PATCH_WIDTH

MIDDLE = PATCH_HEIGHT // 2, PATCH_WIDTH // 2


def test_a_node_is_in_the_middle_of_its_patch_and_paper_is_beyond_the_image() -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(6, 10)
    patches = node_patches(pixels, np.array([[0.2, 0.4], [8.6, 5.0], [-3.0, 99.0]]))
    assert patches.shape == (3, PATCH_HEIGHT, PATCH_WIDTH)
    assert [int(patch[MIDDLE]) for patch in patches] == [pixels[0, 0], pixels[5, 9], pixels[5, 0]]
    for patch in patches:
        assert sorted(patch[patch < 255].tolist()) == pixels.ravel().tolist()  # all of it is near
    np.testing.assert_array_equal(patches[0][MIDDLE[0] :, MIDDLE[1] :][:6, :10], pixels)
