"""From images_raw to images_clean and images_rejected: `pytest tests/spark/images/test_clean_images.py`."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyspark.sql.functions as F
import pytest

from jobs import clean_images, ingest_images
from lib.errors import MissingInputError
from lib.images.cleaning import decode_png
from lib.lake.delta_tables import Lake
from lib.sections.lake import StorageSettings
from lib.settings import load_settings
from tests.spark.landing.test_ingest_images import ingest, num_commits
from tests.spark.landing_files import image, settings_for, write_tar, write_zip


def clean(lake: Lake, *overrides: str) -> None:
    clean_images.run(lake.spark, settings_for(Path("unused"), f"storage.root={lake.storage.root}", *overrides))


def reasons(lake: Lake) -> dict[str, str]:
    rows = lake.read("images_rejected").where("stage = 'clean'").collect()
    return {row.image_id: row.reason for row in rows}


def arrive(landing: Path) -> None:
    for number in range(5):
        (landing / f"good{number}.png").write_bytes(image(number))
    (landing / "empty.png").write_bytes(b"")
    (landing / "text.png").write_bytes(b"I am a text file")
    (landing / "cut.png").write_bytes(image(7)[:60])


@pytest.fixture(scope="module")
def ingested_once(spark, tmp_path_factory) -> Path:
    """A lake of five images and three files that are none."""
    root, landing = tmp_path_factory.mktemp("ingested"), tmp_path_factory.mktemp("landing")
    arrive(landing)
    ingest(Lake(spark, StorageSettings(root=str(root), catalog=None, schema_name=None)), landing)
    return root


@pytest.fixture(scope="module")
def cleaned_once(spark, ingested_once, tmp_path_factory) -> Path:
    """That lake, cleaned."""
    root = tmp_path_factory.mktemp("cleaned") / "lake"
    shutil.copytree(ingested_once, root)
    clean(Lake(spark, StorageSettings(root=str(root), catalog=None, schema_name=None)))
    return root


@pytest.fixture
def ingested(copied, ingested_once) -> Lake:
    """A copy of the lake of images."""
    return copied(ingested_once)


@pytest.fixture
def cleaned(copied, cleaned_once) -> Lake:
    """A copy of the cleaned lake."""
    return copied(cleaned_once)


@pytest.mark.slow
def test_an_image_that_memory_did_not_suffice_for_is_tried_again(cleaned):
    row = cleaned.read("images_rejected").where("image_id = 'cut'")
    cleaned.upsert("images_rejected", row.withColumn("reason", F.lit("out_of_memory")))
    clean(cleaned)
    assert reasons(cleaned) == {"empty": "empty_file", "text": "not_an_image", "cut": "corrupt_image"}


def test_every_raw_image_becomes_a_clean_one_or_a_rejected_one(cleaned):
    assert reasons(cleaned) == {"empty": "empty_file", "text": "not_an_image", "cut": "corrupt_image"}
    rows = {row.image_id: row for row in cleaned.read("images_clean").collect()}
    assert set(rows) == {f"good{number}" for number in range(5)}
    row = rows["good3"]
    assert decode_png(bytes(row.image)).shape == (row.height, row.width) == (64, 128)
    assert (row.rotation_deg, len(row.transform)) == (0, 6)
    assert row.larger_image is None  # it did not arrive larger
    x, y = np.reshape(row.transform, (2, 3)) @ [20, 20, 1]
    assert 0 <= x < 256
    assert 0 <= y < 160


def test_a_second_run_commits_nothing_and_a_new_image_costs_one_row(cleaned, landing):
    before = num_commits(cleaned)
    clean(cleaned)
    assert num_commits(cleaned) == before
    (landing / "new.png").write_bytes(image(9))
    ingest(cleaned, landing)
    clean(cleaned)
    assert cleaned.read("images_clean").count() == 6
    newest = cleaned.read("images_clean").groupBy("cleaned_at").count().orderBy("cleaned_at").collect()
    assert [row["count"] for row in newest] == [5, 1]


@pytest.mark.slow
def test_changed_settings_clean_every_image_again_and_move_it_between_the_tables(ingested):
    clean(ingested, "cleaning.max_pixels=100")
    assert set(reasons(ingested).values()) == {"empty_file", "not_an_image", "too_many_pixels"}
    assert ingested.read("images_clean").count() == 0
    clean(ingested)
    assert reasons(ingested) == {"empty": "empty_file", "text": "not_an_image", "cut": "corrupt_image"}
    assert ingested.read("images_clean").count() == 5
    clean(ingested, "cleaning.max_pixels=100")
    assert ingested.read("images_clean").count() == 0
    assert len(reasons(ingested)) == 8


def test_a_run_killed_between_the_two_tables_is_completed_by_the_next(ingested, monkeypatch):
    upsert = Lake.upsert

    def killed_before_clean(self, name, rows, delete_when=None):
        if name == "images_clean":
            raise KeyboardInterrupt
        upsert(self, name, rows, delete_when)

    monkeypatch.setattr(Lake, "upsert", killed_before_clean)
    with pytest.raises(KeyboardInterrupt):
        clean(ingested)
    monkeypatch.undo()
    clean(ingested)
    assert ingested.read("images_clean").count() == 5
    assert ingested.read("images_rejected").count() == 3


@pytest.mark.slow
def test_a_run_that_ended_between_the_two_tables_after_a_change_of_settings_is_completed_by_the_next(cleaned):
    table = f"delta.`{cleaned.storage.root}/images_clean`"
    cleaned.spark.sql(f"alter table {table} set tblproperties ('delta.appendOnly' = 'true')")
    # The first commit rejects images; the second, which takes them from images_clean, fails.
    with pytest.raises(Exception, match="DELTA_CANNOT_MODIFY_APPEND_ONLY"):
        clean(cleaned, "cleaning.max_pixels=100")
    assert (cleaned.read("images_clean").count(), len(reasons(cleaned))) == (5, 8)
    cleaned.spark.sql(f"alter table {table} set tblproperties ('delta.appendOnly' = 'false')")
    clean(cleaned, "cleaning.max_pixels=100")
    assert (cleaned.read("images_clean").count(), len(reasons(cleaned))) == (0, 8)
    before = num_commits(cleaned)
    clean(cleaned, "cleaning.max_pixels=100")
    assert num_commits(cleaned) == before


def test_new_bytes_of_a_file_or_member_replace_the_old_ones_in_both_tables_and_nothing_else_changes(lake, landing):
    def arrive(loose: bytes, zipped: bytes, tarred: bytes) -> None:
        (landing / "loose.png").write_bytes(loose)
        write_zip(landing / "a.zip", {"zipped.png": zipped, "same.png": image(9)})
        write_tar(landing / "b.tar", {"tarred.png": tarred})

    def cleaned() -> dict[str, bytes]:
        return {row.image_id: bytes(row.image) for row in lake.read("images_clean").collect()}

    arrive(image(1), image(2), image(3))
    ingest(lake, landing)
    clean(lake)
    before, ingested_at = cleaned(), {row.image_id: row.ingested_at for row in lake.read("images_raw").collect()}
    commits = num_commits(lake)
    os.utime(landing / "loose.png", (1, 1))  # as when it is copied again
    ingest(lake, landing)
    clean(lake)
    assert num_commits(lake) == commits | {"images_raw": commits["images_raw"] + 1}
    assert {row.image_id: row.ingested_at for row in lake.read("images_raw").collect()} == ingested_at

    arrive(image(4), image(5), b"no image any more")
    ingest(lake, landing)
    clean(lake)
    raw = {row.image_id: bytes(row.image) for row in lake.read("images_raw").collect()}
    assert raw == {"loose": image(4), "zipped": image(5), "tarred": b"no image any more", "same": image(9)}
    after = cleaned()
    assert after.keys() == {"loose", "zipped", "same"}
    assert after["same"] == before["same"]
    assert after["loose"] != before["loose"]
    assert after["zipped"] != before["zipped"]
    assert reasons(lake) == {"tarred": "not_an_image"}
    commits = num_commits(lake)
    ingest(lake, landing)
    clean(lake)
    assert num_commits(lake) == commits


def test_cleaning_before_anything_was_ingested_names_the_job_to_run(lake):
    with pytest.raises(MissingInputError, match="run ingest_images first"):
        clean(lake)


def test_photographs_stay_in_colour_and_upright(lake, landing):
    photo = np.zeros((120, 80, 3), np.uint8)
    photo[:60] = (200, 30, 10)
    (landing / "photo.jpg").write_bytes(cv2.imencode(".jpg", photo[..., ::-1])[1].tobytes())
    settings = load_settings("photos", "local", [f"landing.path={landing}", f"storage.root={lake.storage.root}"])
    ingest_images.run(lake.spark, settings)
    clean_images.run(lake.spark, settings)
    row = lake.read("images_clean").first()
    pixels = decode_png(bytes(row.image))
    assert (row.rotation_deg, pixels.shape) == (0, (224, 224, 3))
    np.testing.assert_allclose(pixels[50, 112], [200, 30, 10], atol=6)
    assert pixels[180, 112].max() < 6
