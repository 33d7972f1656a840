"""The nearest image by features made by hand, and which of its captions stands for it."""

import numpy as np

from lib.captions.nearest_image import Candidates, central_caption, direction_of, nearest


def grid(*columns: tuple[float, float]) -> np.ndarray:
    """Features (2, 1, w) float16, a column for each grid position."""
    return np.array(columns, np.float16).T[:, None, :]


def test_features_are_averaged_over_the_grid_and_their_length_does_not_count() -> None:
    assert direction_of(grid((1, 0), (1, 2))).tolist() == direction_of(grid((30, 30))).tolist()
    assert np.isclose(np.linalg.norm(direction_of(grid((3, 4)))), 1)
    assert direction_of(grid((0, 0))).tolist() == [0, 0]


def test_the_smallest_angle_wins_and_no_image_is_its_own_neighbour() -> None:
    features = {"east": (1, 0), "north": (0, 5), "north-east": (2, 2.2)}
    directions = np.stack([direction_of(grid(one)) for one in features.values()])
    candidates = Candidates(np.array(list(features), object), directions)
    asked = np.stack([direction_of(grid((9, 1))), direction_of(grid((0, 5)))])
    assert nearest(asked, np.array(["new", "north"], object), candidates) == ["east", "north-east"]
    alone = Candidates(candidates.image_ids[:1], directions[:1])
    assert nearest(asked[:1], np.array(["east"], object), alone) == [None]


def test_of_several_captions_the_one_nearest_to_the_others_stands_for_the_image() -> None:
    assert central_caption(["a man", "a big dog runs", "a dog runs", "a dog ran"]) == "a dog runs"
    assert central_caption(["first", "other"]) == "first"
