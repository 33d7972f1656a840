"""What ink lies between two points of an image."""

import cv2
import numpy as np
import pytest

from lib.images.ink_between import ASIDE_PX, INKLESS, ink_between, is_wavy


def test_ink_between_two_points_is_seen_where_it_is_theirs() -> None:
    pixels = np.full((60, 90), 255, np.uint8)
    cv2.line(pixels, (10, 10), (50, 10), 0)
    ends = [
        [[10, 10], [50, 10]],
        [[50, 10 + ASIDE_PX], [10, 10 + ASIDE_PX]],
        [[10, 11 + ASIDE_PX], [50, 11 + ASIDE_PX]],  # beside it
        [[30, 30], [70, -10]],  # across it
        [[50, 10], [89, 10]],  # from its end on
        [[30, 10], [70, 10]],  # over its end
    ]
    covered = ink_between(pixels, np.array(ends, np.float32))
    assert (covered >= INKLESS).tolist() == [True, True, False, True, False, True]
    assert covered[:2].tolist() == [1.0, 1.0]
    assert covered[5] == pytest.approx(0.6, abs=0.05)


def drawn(shape: str, length: float, angle_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """An image with a stroke of some shape between two points, and those points (1, 2, 2)."""
    along = np.linspace(0, 1, 200)
    sine = np.sin(2 * np.pi * 4 * along) * 0.05
    shapes = {
        "wave": [np.stack((along, sine), axis=1)],
        "straight": [np.stack((along, 0 * along), axis=1)],
        "bent": [np.stack((along, 0.06 * np.sin(np.pi * along)), axis=1)],
        "large wave": [np.stack((along, 3 * sine), axis=1)],
        "hash": [np.array([[at, -0.1 * at], [at, 0.1 * at]]) for at in np.linspace(0.1, 1, 7)],
        "wedge": [np.array([[0.0, 0.0], [1.0, -0.12 * side]]) for side in np.linspace(-1, 1, 40)],
        "nothing": [],
    }
    pixels = np.full((160, 160), 255, np.uint8)
    angle = np.radians(angle_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    begin = np.array([80.0, 80.0]) - length / 2 * turn[0]
    for stroke in shapes[shape]:
        points = begin + length * stroke @ turn
        cv2.polylines(pixels, [np.rint(points * 16).astype(np.int32)], False, 0, 1, cv2.LINE_AA, shift=4)
    return pixels, np.array([[begin, begin + length * turn[0]]], np.float32)


@pytest.mark.parametrize("angle_deg", [0, 30, 75, 210])
@pytest.mark.parametrize("length", [26, 40, 90])
def test_waves_alone_are_wavy(length: int, angle_deg: int) -> None:
    for shape in ("wave", "straight", "bent", "large wave", "hash", "wedge", "nothing"):
        pixels, ends = drawn(shape, length, angle_deg)
        assert is_wavy(pixels, ends).tolist() == [shape == "wave"], shape
    assert is_wavy(pixels, ends[:0]).shape == (0,)
