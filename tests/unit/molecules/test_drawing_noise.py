"""The wear of drawings: `pytest tests/unit/molecules/test_drawing_noise.py`."""

import cv2
import numpy as np

from lib.molecules.drawing_noise import add_specks, drop_at_random, remove_stroke_pixels


def paper(height: int = 400, width: int = 500) -> np.ndarray:
    return np.full((height, width), 255, np.uint8)


def test_removed_stroke_pixels_are_the_asked_fraction_of_the_ink() -> None:
    pixels = paper()
    pixels[100:200, 100:200] = 0
    worn = remove_stroke_pixels(pixels, 0.15, np.random.default_rng(0))
    assert abs(np.count_nonzero(worn == 255) - np.count_nonzero(pixels == 255) - 1500) < 120  # three deviations
    assert np.array_equal(worn[:100], pixels[:100])
    assert np.count_nonzero(pixels == 0) == 10_000  # what was given is unchanged


def test_fraction_of_zero_leaves_every_stroke_pixel() -> None:
    pixels = paper()
    pixels[50] = 0
    assert np.array_equal(remove_stroke_pixels(pixels, 0.0, np.random.default_rng(0)), pixels)


def test_specks_are_single_pixels_of_the_asked_density_that_touch_nothing() -> None:
    pixels = paper(2000, 2000)
    cv2.line(pixels, (0, 0), (1999, 1999), 0, 3)
    specked = add_specks(pixels, 8e-5, np.random.default_rng(0))
    num_components, _, stats, _ = cv2.connectedComponentsWithStats((specked == 0).astype(np.uint8), connectivity=8)
    sizes = sorted(stats[1:, cv2.CC_STAT_AREA])
    assert abs(num_components - 2 - 320) < 55  # three deviations of 4 million pixels times 8e-5
    assert sizes[-1] == np.count_nonzero(pixels == 0)
    assert set(sizes[:-1]) == {1}


def test_specks_may_lie_on_the_outermost_pixels() -> None:
    specked = add_specks(paper(3, 3), 0.9, np.random.default_rng(1))
    assert np.argwhere(specked == 0).tolist() == [[0, 0], [1, 2], [2, 0]]


def test_losing_everything_keeps_one() -> None:
    assert len(drop_at_random(7, 1.0, np.random.default_rng(0))) == 6
    assert drop_at_random(1, 1.0, np.random.default_rng(0)) == set()


def test_things_are_lost_with_the_asked_share() -> None:
    dropped = drop_at_random(10_000, 0.03, np.random.default_rng(0))
    assert 250 < len(dropped) < 350
    assert dropped <= set(range(10_000))
