"""From images_clean to image_features, and from there to training and captions, for images with several captions."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pyspark.sql import SparkSession

from bench import photos
from jobs import build_vocabulary, clean_images, extract_features, ingest_images, predict_captions
from lib.captions.vocabulary_tables import read_vocabulary
from lib.errors import LandingZoneError, MissingInputError, SettingsError
from lib.images.cleaning import decode_png
from lib.images.frozen_features import encoder_version
from lib.images.packed_features import pack_features, unpack_features
from lib.lake.delta_tables import Lake
from lib.lake.models import CURRENT_MODEL, checkpoints_folder
from lib.sections.lake import StorageSettings
from lib.settings import Settings, load_settings
from lib.training.training_data import describe_training_data, training_rows
from lib.training.training_runs import plan_training
from lib.training.training_samples import as_sample
from model.batches import collate
from model.checkpoint import new_captioner, save_checkpoint
from tests.spark.landing.test_ingest_images import num_commits

CAPTIONS = {
    "red": ["A red field.", "Everything is red", "red"],
    "green": ["A green field"],
    "blue": ["A blue field", "the sea"],
}
SMALL = [
    "captioner.grid_width=16",
    "captioner.width=16",
    "captioner.embedding_width=8",
    "captioner.num_attention_heads=2",
    "captions.test_fraction=0",
    "captions.validation_fraction=0",
    "captions.min_token_uses=1",
    "cleaning.canvas_height_px=64",
    "cleaning.canvas_width_px=64",
    "cleaning.canvas_step_px=64",
]


def settings(lake: Lake, *overrides: str) -> Settings:
    return load_settings("photos", "local", [f"storage.root={lake.storage.root}", *SMALL, *overrides])


@pytest.fixture(scope="module")
def arrived_once(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A landing zone of three photographs with captions, and the lake of them, cleaned."""
    landing, root = tmp_path_factory.mktemp("landing"), tmp_path_factory.mktemp("arrived")
    for index, name in enumerate(CAPTIONS):
        pixels = np.random.default_rng(index).integers(0, 90, (40, 60, 3), np.uint8)
        pixels[..., 2 - index] += 160
        cv2.imwrite(str(landing / f"{name}.jpg"), pixels)
    with open(landing / "captions.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        writer.writerows((f"{name}.jpg", caption) for name, of_image in CAPTIONS.items() for caption in of_image)
    lake = Lake(spark, StorageSettings(root=str(root), catalog=None, schema_name=None))
    ingest_images.run(spark, settings(lake, f"landing.path={landing}"))
    clean_images.run(spark, settings(lake))
    build_vocabulary.run(spark, settings(lake))
    return landing, root


@pytest.fixture(scope="module")
def extracted_once(
    spark: SparkSession, arrived_once: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """That lake with a model, its captions of the images, and then the features."""
    root = tmp_path_factory.mktemp("extracted") / "lake"
    shutil.copytree(arrived_once[1], root)
    lake = Lake(spark, StorageSettings(root=str(root), catalog=None, schema_name=None))
    put_model(lake)
    predict_captions.run(spark, settings(lake))
    extract_features.run(spark, settings(lake))
    return root


@pytest.fixture
def arrived(copied: Callable[[Path], Lake], arrived_once: tuple[Path, Path]) -> Lake:
    """A copy of the lake of cleaned images."""
    return copied(arrived_once[1])


@pytest.fixture
def extracted(copied: Callable[[Path], Lake], extracted_once: Path) -> Lake:
    """A copy of the lake with captions and features."""
    return copied(extracted_once)


def put_model(lake: Lake) -> None:
    torch.manual_seed(0)
    vocabulary = read_vocabulary(lake, settings(lake).captions)
    captioner = new_captioner(settings(lake).captioner, vocabulary)
    details = {"notation": "words", "max_tokens": 6}
    save_checkpoint(checkpoints_folder(lake.storage) / "m", captioner, vocabulary, details=details, provenance={})
    (checkpoints_folder(lake.storage) / CURRENT_MODEL).write_text("m\n")


def captions(lake: Lake) -> dict[str, tuple[str, float]]:
    rows = lake.read("caption_predictions").collect()
    return {row.image_id: (row.caption, round(row.confidence, 4)) for row in rows}


def test_each_image_is_encoded_once_and_again_when_it_is_cleaned_otherwise(extracted: Lake) -> None:
    rows = {row.image_id: row for row in extracted.read("image_features").collect()}
    assert set(rows) == set(CAPTIONS)
    assert unpack_features(rows["red"].features).shape == tuple(rows["red"].shape) == (1280, 2, 2)
    assert rows["red"].encoder_version == "efficientnet_lite2-imagenet"
    before = num_commits(extracted)
    extract_features.run(extracted.spark, settings(extracted))
    assert num_commits(extracted) == before
    clean_images.run(extracted.spark, settings(extracted, "cleaning.sharpen=0.5"))
    extract_features.run(extracted.spark, settings(extracted, "cleaning.sharpen=0.5"))
    again = {row.image_id: row for row in extracted.read("image_features").collect()}
    assert all(again[name].cleaning_version != rows[name].cleaning_version for name in CAPTIONS)


def test_the_bench_of_photographs_takes_features_of_images_as_they_are_cleaned_now(extracted: Lake) -> None:
    version = "efficientnet_lite2-imagenet"
    features = photos._features(extracted, extracted.read("captions"), version, "train")
    assert list(features) == sorted(CAPTIONS)
    table = f"delta.`{extracted.storage.root}/image_features`"
    extracted.spark.sql(f"update {table} set cleaning_version = 'older' where image_id = 'red'")
    assert list(photos._features(extracted, extracted.read("captions"), version, "train")) == ["blue", "green"]
    extracted.spark.sql(f"update {table} set cleaning_version = 'older'")
    with pytest.raises(MissingInputError, match=r"as it is cleaned now, has features of .*: run extract_features"):
        photos._features(extracted, extracted.read("captions"), version, "train")


def test_results_of_another_split_or_model_replace_no_published_ones() -> None:
    assert photos.file_of_results("test", None) == photos.RESULTS
    assert photos.file_of_results("validation", None) is photos.file_of_results("test", "other") is None


@pytest.mark.slow
def test_features_and_captions_follow_an_image_whose_file_is_replaced(
    extracted: Lake, arrived_once: tuple[Path, Path]
) -> None:
    landing = arrived_once[0]
    old_bytes = (landing / "red.jpg").read_bytes()
    try:
        (landing / "red.jpg").write_bytes((landing / "blue.jpg").read_bytes())
        ingest_images.run(extracted.spark, settings(extracted, f"landing.path={landing}"))
    finally:
        (landing / "red.jpg").write_bytes(old_bytes)
    clean_images.run(extracted.spark, settings(extracted))
    extract_features.run(extracted.spark, settings(extracted))
    predict_captions.run(extracted.spark, settings(extracted))
    features = {row.image_id: bytes(row.features) for row in extracted.read("image_features").collect()}
    assert features["red"] == features["blue"]
    assert features["red"] != features["green"]
    seen = captions(extracted)
    assert seen["red"] == seen["blue"]
    clean = {row.image_id: row.cleaning_version for row in extracted.read("images_clean").collect()}
    predicted = {row.image_id: row.cleaning_version for row in extracted.read("caption_predictions").collect()}
    assert predicted == clean
    assert clean["blue"] == clean["green"] != clean["red"]


def test_an_encoder_that_learns_has_no_features(arrived: Lake) -> None:
    extract_features.run(arrived.spark, settings(arrived, "captioner.is_encoder_frozen=false"))
    assert not arrived.has("image_features")


def test_training_reads_an_image_once_with_all_its_captions(arrived: Lake, extracted_once: Path) -> None:
    asked = settings(arrived)
    vocabulary = read_vocabulary(arrived, asked.captions)
    version = encoder_version(asked.captioner)
    with pytest.raises(MissingInputError, match="extract_features"):
        describe_training_data(arrived, asked.captions, vocabulary, version)
    shutil.copytree(extracted_once / "image_features", Path(arrived.storage.root) / "image_features")
    assert describe_training_data(arrived, asked.captions, vocabulary, version).num_train == 3
    rows = training_rows(arrived, asked.captions, vocabulary, "train", 1, encoder_version=version).collect()
    batch = collate([as_sample(row.asDict(), asked.captioner, None) for row in rows], 3)
    assert batch.images.shape == (3, 1280, 2, 2)
    found: dict[str, set[str]] = {row.image_id: set() for row in rows}
    for index, ids in zip(batch.image_indices.tolist(), batch.tokens.tolist(), strict=True):
        found[rows[index].image_id].add(" ".join(vocabulary.decode([one for one in ids if one > 3])))
    assert found["red"] == {"a red field", "everything is red", "red"}
    assert found["blue"] == {"a blue field", "the sea"}


def test_images_without_features_and_words_outside_the_vocabulary_are_counted(
    extracted: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    asked = settings(extracted, "captions.min_token_uses=2", "cluster.num_workers=1")
    build_vocabulary.run(extracted.spark, asked)
    table = f"delta.`{extracted.storage.root}/image_features`"
    whole = plan_training(extracted, asked).data
    assert (whole.num_train, whole.left_out) == (3, "")
    # a red field, everything is red, red, a green field, a blue field, the sea: the vocabulary has a, red and field.
    assert (whole.num_tokens, whole.num_unknown_tokens) == (15, 6)
    extracted.spark.sql(f"update {table} set cleaning_version = 'older' where image_id = 'red'")
    caplog.clear()
    with caplog.at_level("INFO"):
        left = plan_training(extracted, asked).data
    version = "efficientnet_lite2-imagenet"
    assert (left.num_train, left.left_out) == (2, f"images without features of {version}: 1 (run extract_features)")
    assert left.fingerprint != whole.fingerprint
    assert f"not trained on: {left.left_out}" in caplog.text
    assert "4 of 8 words (50.0 %) of the train captions are not in the vocabulary" in caplog.text
    extracted.spark.sql(f"update {table} set shape = array(1280, 2, 1) where image_id = 'blue'")
    with pytest.raises(SettingsError, match=rf"features of {version} have 2 shapes, and training on them takes one"):
        plan_training(extracted, asked)


def test_captions_from_features_are_those_from_the_images(extracted: Lake) -> None:
    from_images = captions(extracted)
    assert set(from_images) == set(CAPTIONS)
    clean = extracted.read("images_clean").collect()
    assert decode_png(bytes(clean[0].image)).shape == (64, 64, 3)  # stretched to the canvas
    extracted.spark.sql(f"delete from delta.`{extracted.storage.root}/caption_predictions`")
    predict_captions.run(extracted.spark, settings(extracted))
    from_features = captions(extracted)
    assert {name: one[0] for name, one in from_features.items()} == {name: one[0] for name, one in from_images.items()}
    for name, (_, confidence) in from_features.items():
        assert confidence == pytest.approx(from_images[name][1], rel=0.02)


@pytest.mark.slow
def test_images_of_several_shapes_are_encoded_and_captioned_each_by_itself(
    arrived: Lake, arrived_once: tuple[Path, Path], tmp_path: Path
) -> None:
    landing, uneven = tmp_path / "landing", ("cleaning.keeps_aspect=true", "cleaning.canvas_step_px=32")
    shutil.copytree(arrived_once[0], landing)
    cv2.imwrite(str(landing / "tall.jpg"), np.full((60, 20, 3), 99, np.uint8))
    ingest_images.run(arrived.spark, settings(arrived, f"landing.path={landing}"))
    clean_images.run(arrived.spark, settings(arrived, *uneven))
    put_model(arrived)
    extract_features.run(arrived.spark, settings(arrived, *uneven))
    shapes = {row.image_id: tuple(row.shape) for row in arrived.read("image_features").collect()}
    assert shapes == dict.fromkeys(CAPTIONS, (1280, 2, 2)) | {"tall": (1280, 2, 1)}
    for views in ((), ("prediction.turns_deg=[0, 180]",)):
        if arrived.has("caption_predictions"):
            arrived.spark.sql(f"delete from delta.`{arrived.storage.root}/caption_predictions`")
        predict_captions.run(arrived.spark, settings(arrived, *uneven, *views))
        assert set(captions(arrived)) == set(shapes)


@pytest.mark.slow
def test_lists_of_splits_win_over_the_hash_whenever_they_come(arrived: Lake, arrived_once: tuple[Path, Path]) -> None:
    landing = arrived_once[0]

    def splits() -> dict[str, str]:
        by_hash = ("captions.test_fraction=0.49", "captions.validation_fraction=0.49")  # nearly nothing for train
        ingest_images.run(arrived.spark, settings(arrived, f"landing.path={landing}", *by_hash))
        return {row.image_id: row.split for row in arrived.read("captions").collect()}

    (landing / "Flickr_8k.testImages.txt").write_text("red.jpg\n")
    (landing / "Flickr_8k.devImages.txt").write_text("blue.jpg\n")
    assert splits() == {"red": "test", "blue": "validation", "green": "train"}
    before = num_commits(arrived)
    assert splits() == {"red": "test", "blue": "validation", "green": "train"}
    assert num_commits(arrived) == before
    (landing / "Flickr_8k.trainImages.txt").write_text("red.jpg\n")
    with pytest.raises(LandingZoneError, match="red for split"):
        splits()


@pytest.mark.slow
def test_features_of_another_encoder_are_neither_learned_from_nor_captioned(extracted: Lake) -> None:
    from_images = captions(extracted)
    root, other = extracted.storage.root, pack_features(np.ones((7, 2, 2)))
    extracted.spark.sql(
        f"update delta.`{root}/image_features` set encoder_version = 'other', features = unhex('{other.hex()}')"
    )
    extracted.spark.sql(f"delete from delta.`{root}/caption_predictions`")
    predict_captions.run(extracted.spark, settings(extracted))
    assert captions(extracted) == from_images
    asked = settings(extracted)
    version = encoder_version(asked.captioner)
    with pytest.raises(MissingInputError, match=rf"no image has features of {version}: run extract_features"):
        describe_training_data(extracted, asked.captions, read_vocabulary(extracted, asked.captions), version)


@pytest.mark.slow
def test_captions_that_cannot_be_learned_are_counted_and_stop_nothing(arrived: Lake, tmp_path: Path) -> None:
    rows = [("green", text) for text in (400 * "word ", "?!", "\N{GRINNING FACE}", "A field \N{GRINNING FACE}")]
    rows += [("blue", f"caption {number}") for number in range(9)]  # beside the two that it has
    rows += [("nobody", "a caption without an image")]
    landing = tmp_path / "landing"
    landing.mkdir()
    cv2.imwrite(str(landing / "uncaptioned.jpg"), np.full((40, 60, 3), 99, np.uint8))
    with open(landing / "more_captions.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "caption"), *((f"{name}.jpg", text) for name, text in rows)])
    asked = settings(arrived, f"landing.path={landing}")
    for job in (ingest_images, clean_images, build_vocabulary):
        job.run(arrived.spark, asked)
    rejected = arrived.read("images_rejected").where("reason = 'too_many_captions'").collect()
    assert [row.image_id for row in rejected] == ["blue"] * 6
    data = describe_training_data(arrived, asked.captions, read_vocabulary(arrived, asked.captions))
    assert "captions longer than captions.max_tokens 40: 1" in data.left_out
    assert "captions that notation words cannot express: 2" in data.left_out
    assert data.num_train == 3
