"""Patches are cut around nodes."""

import numpy as np

from lib.images.node_patches import node_patches
from model.graph_kinds import PATCH_HEIGHT, PATCH_WIDTH

MIDDLE = PATCH_HEIGHT // 2, PATCH_WIDTH // 2


def test_a_node_is_in_the_middle_of_its_patch_and_paper_is_beyond_the_image() -> None:
    ink = np.arange(1, 61, dtype=np.uint8).reshape(6, 10)
    patches = node_patches(ink, np.array([[0.2, 0.4], [8.6, 5.0], [-3.0, 99.0]]))
    assert patches.shape == (3, PATCH_HEIGHT, PATCH_WIDTH)
    assert [int(patch[MIDDLE]) for patch in patches] == [ink[0, 0], ink[5, 9], ink[5, 0]]
    for patch in patches:
        assert sorted(patch[patch > 0].tolist()) == sorted(ink.ravel().tolist())  # all of it is near
    np.testing.assert_array_equal(patches[0][MIDDLE[0] :, MIDDLE[1] :][:6, :10], ink)
