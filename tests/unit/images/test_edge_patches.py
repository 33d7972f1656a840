"""Patches are cut along the way between two points."""

import cv2
import numpy as np
import pytest

from lib.images.edge_patches import edge_patches
from model.graph_kinds import EDGE_PATCH_HEIGHT, EDGE_PATCH_WIDTH, EDGE_PX

ROW, COLUMN = (EDGE_PATCH_HEIGHT - 1) // 2, (EDGE_PATCH_WIDTH - 1 - EDGE_PX) // 2


def wedge(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """An image with a solid triangle, narrow at its beginning, and a dot on the right-hand side of its end."""
    pixels = np.full((200, 200), 255, np.uint8)
    aside = np.array([-1, 1]) * (end - begin)[::-1] / 6
    cv2.fillPoly(pixels, [np.rint([begin, end + aside, end - aside]).astype(np.int32)], 0)
    cv2.circle(pixels, tuple(np.rint(end + 2 * aside).astype(int).tolist()), 4, 0, -1)
    return pixels


@pytest.mark.parametrize("length_px", [30.0, 60.0])
@pytest.mark.parametrize("turn_deg", [0.0, 37.0, 90.0, 200.0])
def test_an_edge_looks_the_same_whichever_way_it_lies_and_however_long_it_is(turn_deg: float, length_px: float) -> None:
    way = length_px * np.array([np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))])
    begin, end = np.full(2, 100.0), 100.0 + way
    (patch,) = edge_patches(wedge(begin, end), np.array([[begin, end]]))
    assert patch.shape == (EDGE_PATCH_HEIGHT, EDGE_PATCH_WIDTH)
    widths = (patch < 128)[:, COLUMN : COLUMN + EDGE_PX - 6].sum(axis=0).reshape(3, 10).mean(axis=1)
    assert widths[2] > 1.4 * widths[1] > 2 * widths[0] > 0
    assert not (patch[:, : COLUMN - 2] < 128).any()
    near_end = np.s_[COLUMN + EDGE_PX - 2 : COLUMN + EDGE_PX + 3]
    assert (patch[ROW + 9 : ROW + 15, near_end] < 128).any()  # the dot
    assert not (patch[ROW - 14 : ROW - 8, near_end] < 128).any()


def test_from_the_other_end_a_patch_is_turned_round() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 120)).astype(np.uint8)
    ends = np.array([[[30.3, 41.0], [66.1, 35.2]]])
    (forth,), (back,) = edge_patches(pixels, ends), edge_patches(pixels, ends[:, ::-1])
    np.testing.assert_allclose(forth[::-1, ::-1].astype(int), back.astype(int), atol=12)  # of interpolation


def test_there_is_paper_beyond_the_image_and_no_patch_without_edges() -> None:
    pixels = np.zeros((16, 30), np.uint8)
    (patch,) = edge_patches(pixels, np.array([[[3.0, 8.0], [27.0, 8.0]]]))
    assert patch[0].min() == patch[-1].min() == 255
    assert patch[ROW, COLUMN : COLUMN + EDGE_PX].max() == 0
    assert edge_patches(pixels, np.zeros((0, 2, 2))).shape == (0, EDGE_PATCH_HEIGHT, EDGE_PATCH_WIDTH)
