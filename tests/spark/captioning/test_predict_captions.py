"""From images_clean to caption_predictions, by an untrained model."""

import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from jobs import build_vocabulary, predict_captions
from lib import progress
from lib.captioning import caption_prediction
from lib.captions.vocabulary_tables import read_vocabulary
from lib.errors import MissingInputError, SettingsError
from lib.lake import worker_counts
from lib.lake.delta_tables import Lake
from lib.lake.models import CURRENT_MODEL, checkpoints_folder
from lib.lake.schemas import CAPTIONS
from lib.sections.lake import StorageSettings
from model.checkpoint import new_captioner, save_checkpoint
from tests.spark.images.test_clean_images import clean
from tests.spark.landing.test_ingest_images import ingest, num_commits
from tests.spark.landing_files import image, settings_for, write_captions

LABEL = "InChI=1S/C{0}H{1}/c1-2/h1-2H3"


def settings(lake: Lake, *overrides: str):
    return settings_for(Path("unused"), f"storage.root={lake.storage.root}", *overrides)


def arrive(lake: Lake, landing: Path, num_images: int, num_captions: int) -> None:
    for number in range(num_images):
        (landing / f"{number}.png").write_bytes(image(number))
    labels = {str(number): LABEL.format(number, number + 1) for number in range(num_captions)}
    write_captions(landing / "labels.csv", labels)
    ingest(lake, landing, "captions.test_fraction=0", "captions.validation_fraction=0")
    clean(lake)


@pytest.fixture(scope="module")
def arrived_once(spark, tmp_path_factory) -> Path:
    """The lake of five cleaned images, three of them with captions, and the vocabulary."""
    root, landing = tmp_path_factory.mktemp("arrived"), tmp_path_factory.mktemp("landing")
    lake = Lake(spark, StorageSettings(root=str(root), catalog=None, schema_name=None))
    arrive(lake, landing, 5, 3)
    build_vocabulary.run(spark, settings(lake))
    return root


@pytest.fixture(scope="module")
def captioned_once(spark, arrived_once, tmp_path_factory) -> Path:
    """That lake with the captions of an untrained model, `first`."""
    root = tmp_path_factory.mktemp("captioned") / "lake"
    shutil.copytree(arrived_once, root)
    lake = Lake(spark, StorageSettings(root=str(root), catalog=None, schema_name=None))
    put_model(lake, "first")
    predict(lake)
    return root


@pytest.fixture
def arrived(copied, arrived_once) -> Lake:
    """A copy of the lake of cleaned images."""
    return copied(arrived_once)


@pytest.fixture
def captioned(copied, captioned_once) -> Lake:
    """A copy of the lake with captions."""
    return copied(captioned_once)


def put_model(lake: Lake, name: str, seed: int = 0) -> None:
    """An untrained model that can write the captions' tokens."""
    torch.manual_seed(seed)
    config = replace(settings(lake).captioner, grid_width=16, width=16, embedding_width=8, num_attention_heads=2)
    vocabulary = read_vocabulary(lake, settings(lake).captions)
    folder = checkpoints_folder(lake.storage)
    details = {"notation": "inchi", "max_tokens": 12}
    save_checkpoint(folder / name, new_captioner(config, vocabulary), vocabulary, details=details, provenance={})
    (folder / CURRENT_MODEL).write_text(name + "\n")


def predict(lake: Lake, *overrides: str) -> None:
    predict_captions.run(lake.spark, settings(lake, *overrides))


def test_every_image_gets_a_caption_and_those_with_a_reference_a_distance(captioned):
    rows = {row.image_id: row for row in captioned.read("caption_predictions").collect()}
    assert sorted(rows) == ["0", "1", "2", "3", "4"]
    assert {row.model_version for row in rows.values()} == {"first"}
    assert all(row.caption.startswith("InChI=1S/") for row in rows.values())
    assert [rows[number].reference for number in "01234"] == [LABEL.format(n, n + 1) for n in range(3)] + [None, None]
    assert [rows[number].edit_distance is None for number in "01234"] == [False] * 3 + [True] * 2
    assert all(0 < row.confidence < 1 for row in rows.values())


def test_progress_counts_images_that_workers_have_done(arrived, monkeypatch, caplog):
    """The counts are logged while the only task is running: Spark itself knows nothing of it before its end."""
    put_model(arrived, "first")
    monkeypatch.setattr(caption_prediction, "num_tasks", lambda *_: 1)
    monkeypatch.setattr(worker_counts, "LOOK_EVERY_S", 0.002)
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    with caplog.at_level("INFO", logger="lib.progress"):
        predict(arrived, "prediction.batch_size=1")
    lines = [message for message in caplog.messages if message.startswith("predict_captions")]
    counts = [int(line.removeprefix("predict_captions ").partition("/5 images")[0]) for line in lines]
    assert counts == sorted(counts)
    assert counts[-1] == 5
    assert set(counts) & {1, 2, 3, 4}


def test_captions_do_not_depend_on_how_images_are_batched(captioned):
    together = {row.image_id: row.caption for row in captioned.read("caption_predictions").collect()}
    save = checkpoints_folder(captioned.storage)
    (save / "first").rename(save / "again")
    predict(captioned, "prediction.batch_size=1", "prediction.model_version=again")
    again = captioned.read("caption_predictions").where("model_version = 'again'").collect()
    alone = {row.image_id: row.caption for row in again}
    assert alone == together


def test_only_images_without_a_row_for_this_model_are_captioned(captioned, landing):
    before = num_commits(captioned)
    predict(captioned)
    assert num_commits(captioned) == before
    (landing / "new.png").write_bytes(image(9))
    ingest(captioned, landing)
    clean(captioned)
    predict(captioned)
    times = captioned.read("caption_predictions").groupBy("predicted_at").count().orderBy("predicted_at").collect()
    assert [row["count"] for row in times] == [5, 1]
    put_model(captioned, "second", seed=1)
    predict(captioned)
    counts = captioned.read("caption_predictions").groupBy("model_version").count().collect()
    assert {row.model_version: row["count"] for row in counts} == {"first": 6, "second": 6}


@pytest.mark.slow
def test_a_reference_that_arrives_after_the_prediction_is_scored_late(lake, landing):
    arrive(lake, landing, num_images=2, num_captions=1)
    build_vocabulary.run(lake.spark, settings(lake))
    put_model(lake, "first")
    predict(lake)
    write_captions(landing / "late_labels.csv", {"1": LABEL.format(1, 2)})
    ingest(lake, landing)
    predict(lake)
    row = lake.read("caption_predictions").where("image_id = '1'").first()
    assert row.reference == LABEL.format(1, 2)
    assert row.edit_distance > 0
    assert lake.read("caption_predictions").count() == 2


@pytest.mark.slow
def test_a_reference_that_is_corrected_is_scored_again_and_then_left_alone(lake, landing):
    arrive(lake, landing, num_images=2, num_captions=2)
    build_vocabulary.run(lake.spark, settings(lake))
    put_model(lake, "first")
    predict(lake)
    write_captions(landing / "labels.csv", {"0": LABEL.format(0, 1), "1": "InChI=1S/CH4/h1H4"})
    ingest(lake, landing)
    predict(lake)
    references = {row.image_id: row.reference for row in lake.read("caption_predictions").collect()}
    assert references == {"0": LABEL.format(0, 1), "1": "InChI=1S/CH4/h1H4"}
    before = num_commits(lake)
    predict(lake)
    assert num_commits(lake) == before


def test_a_caption_goes_with_its_image_when_other_settings_reject_it(captioned):
    assert captioned.read("caption_predictions").count() == 5
    clean(captioned, "cleaning.min_ink_fraction=0.9")
    assert captioned.read("images_clean").isEmpty()
    predict(captioned)
    assert captioned.read("caption_predictions").isEmpty()
    before = num_commits(captioned)
    predict(captioned)
    assert num_commits(captioned) == before


def test_references_that_were_dated_before_the_prediction_count_and_those_that_go_count_no_more(captioned):
    long_ago = datetime(2024, 1, 1, tzinfo=UTC)
    corrected = [("0", 0, "InChI=1S/CH4/h1H4", "labels.csv", "train", long_ago, 1, "0")]
    captioned.upsert("captions", captioned.spark.createDataFrame(corrected, CAPTIONS.schema))
    captioned.upsert("captions", captioned.read("captions").where("image_id = '1'"), delete_when="true")
    predict(captioned)
    rows = {row.image_id: row for row in captioned.read("caption_predictions").collect()}
    assert rows["0"].reference == "InChI=1S/CH4/h1H4"
    assert (rows["1"].reference, rows["1"].edit_distance, rows["1"].split) == (None, None, None)
    assert rows["2"].reference == LABEL.format(2, 3)


def test_a_model_that_is_not_there_is_named_with_those_that_are(arrived):
    with pytest.raises(MissingInputError, match="run train_captioner first"):
        predict(arrived)
    put_model(arrived, "first")
    with pytest.raises(MissingInputError, match=r"no model 'lost' .* \(there are: first\)"):
        predict(arrived, "prediction.model_version=lost")


def test_a_model_for_other_settings_is_refused_before_any_image_is_captioned(arrived):
    put_model(arrived, "first")
    with pytest.raises(SettingsError, match=r"^model first writes captions\.notation inchi, .* smiles: set it so, or"):
        predict(arrived, "captions.notation=smiles")
    assert arrived.read("caption_predictions").isEmpty()


MEANWHILE = """
import logging, sys
from pathlib import Path
from jobs import run_pipeline

class Training(logging.Handler):
    def emit(self, record):
        if "captioned 5 new images" in record.getMessage():
            Path(sys.argv[1], "checkpoints/current_model").write_text("second")

logging.getLogger("lib.captioning.caption_prediction").addHandler(Training())
run_pipeline.main(["--from", "predict_captions", "--set", f"storage.root={sys.argv[1]}",
                   "--set", "captions.notation=inchi", "--set", "spark.driver_memory=1g"])
"""


@pytest.mark.slow
def test_a_model_that_becomes_current_while_the_pipeline_runs_is_left_to_the_next_run(arrived):
    put_model(arrived, "second", seed=1)
    put_model(arrived, "first")
    command = [sys.executable, "-c", MEANWHILE, arrived.storage.root]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert {row.model_version for row in arrived.read("evaluations").collect()} == {"first"}
    root = Path(arrived.storage.root)
    assert (root / "checkpoints/current_model").read_text() == "second"
    assert {path.name for path in (root / "reports").iterdir()} == {"first.html", "first.csv"}
