"""The caption of the most similar train image, by the real encoder and a real Delta lake."""

from pathlib import Path

import pytest
import torch

from lib.captioning.neighbour_captioner import NeighbourCaptioner
from lib.captioning.second_captioner import SecondCaption
from lib.errors import MissingInputError, SettingsError
from lib.lake.models import pretrained_model
from lib.sections.lake import StorageSettings
from lib.settings import load_settings
from tests.unit.serving.neighbour_lake import CHECKPOINT, DISC, SQUARES, STRIPES, fill, photograph

torch.set_num_threads(1)  # threads would wait for each other longer than they compute
pytest.importorskip("timm", reason="needs the extra photos")
CLEANING = load_settings("photos", "local").cleaning


def storage(root: Path, **catalog: str) -> StorageSettings:
    return StorageSettings(**({"root": str(root), "catalog": None, "schema_name": None} | catalog))


def test_the_most_similar_train_image_lends_its_central_caption(tmp_path: Path) -> None:
    fill(tmp_path)
    captioner = NeighbourCaptioner(CHECKPOINT, CLEANING, storage(tmp_path))
    images = [photograph(*STRIPES, seed=7), b"no image", photograph(*SQUARES, seed=7), photograph(*DISC)]
    stripes, unread, squares, disc = captioner.caption(images)
    assert stripes == SecondCaption("green stripes")
    assert squares == SecondCaption("red squares")
    assert disc.caption in ("green stripes", "red squares")  # the images like it are not of the train split
    assert (unread.caption, unread.outcome, str(unread.reason)[:12]) == (None, "failed", "not_an_image")
    alone = [captioner.caption([image])[0] for image in images]
    assert alone == [stripes, unread, squares, disc]


def test_a_model_whose_encoder_is_not_frozen_is_refused(tmp_path: Path) -> None:
    molecules = pretrained_model("molecules", "the test").directory
    with pytest.raises(
        SettingsError, match="the encoder of model molecules is not frozen, or its checkpoint does not name it: na"
    ):
        NeighbourCaptioner(molecules, CLEANING, storage(tmp_path))


def test_an_empty_lake_and_a_catalog_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"features of efficientnet_lite2-imagenet, and .* has none: run"):
        NeighbourCaptioner(CHECKPOINT, CLEANING, storage(tmp_path))
    with pytest.raises(SettingsError, match=r"storage\.catalog is set: nearest_neighbours reads tables in storage"):
        NeighbourCaptioner(CHECKPOINT, CLEANING, storage(tmp_path, catalog="main", schema_name="lake"))
