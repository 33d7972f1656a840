"""Train images with features and captions of a real Delta lake: `pytest tests/unit/captions/test_train_images.py`."""

from pathlib import Path

import numpy as np
import pytest

from lib.captions.train_images import read_train_images
from lib.errors import MissingInputError
from lib.images.packed_features import pack_features
from lib.lake.delta_rows import DeltaRows, UnreadableTableError
from tests.unit.reviewing.reviewed_lake import write


def features(*mean: float) -> bytes:
    return pack_features(np.array(mean)[:, None, None])


def fill(root: Path, num_images: int = 3) -> DeltaRows:
    """Images 0, 1, 2, ... with two captions each, the second written first, by two encoders in turn."""
    ids = [f"{number}" for number in range(num_images)]
    write(
        root,
        "image_features",
        [
            {"image_id": name, "encoder_version": f"e{index % 2}", "features": features(index, 1)}
            for index, name in enumerate(ids)
        ],
    )
    write(
        root,
        "captions",
        [
            {"image_id": name, "caption_index": index, "caption": f"{name}.{index}", "split": "train"}
            for name in ids
            for index in (1, 0)
        ],
    )
    return DeltaRows(str(root))


def test_images_of_the_encoder_have_directions_of_length_1_and_captions_in_order(tmp_path: Path) -> None:
    found = read_train_images(fill(tmp_path), "e0")
    assert found.candidates.image_ids.tolist() == ["0", "2"]
    assert np.allclose(found.candidates.directions, [[0, 1], [2 / 5**0.5, 1 / 5**0.5]])
    assert found.captions == {"0": ["0.0", "0.1"], "2": ["2.0", "2.1"]}


def test_of_many_images_the_same_few_are_held_whichever_order_the_files_have(tmp_path: Path) -> None:
    held = read_train_images(fill(tmp_path, 40), "e0", num_candidates=10).candidates.image_ids.tolist()
    assert 0 < len(held) <= 10
    assert held != [f"{2 * number}" for number in range(len(held))]  # not the first ones
    again = read_train_images(fill(tmp_path / "again", 40), "e0", num_candidates=10)
    assert again.candidates.image_ids.tolist() == held
    assert again.captions.keys() == set(held)


@pytest.mark.parametrize("has_features", [False, True])
def test_a_lake_without_features_of_the_encoder_is_said_in_a_sentence(tmp_path: Path, has_features: bool) -> None:
    rows = fill(tmp_path) if has_features else DeltaRows(str(tmp_path))
    with pytest.raises(
        MissingInputError, match=r"features of e7, and .* has none: run ingest_images, clean_images and "
    ):
        read_train_images(rows, "e7")


def test_features_that_are_broken_are_said_in_a_sentence(tmp_path: Path) -> None:
    rows = fill(tmp_path)
    write(tmp_path, "image_features", [{"image_id": "0", "encoder_version": "e7", "features": b"no array"}])
    with pytest.raises(UnreadableTableError, match="table image_features cannot be read"):
        read_train_images(rows, "e7")
