"""Training in a Python of its own: tables go there, the job is started with it, what it made comes back.

A script stands where that Python is on a cluster: it notes how it was started and leaves what the job would.
"""

import json
import os
from pathlib import Path

import pytest

from lib.errors import TrainingFailedError
from lib.lake.delta_tables import Lake
from lib.lake.schemas import CAPTIONS, IMAGE_FEATURES
from lib.training import detached_training
from lib.training.training_data import TrainingData
from lib.training.training_runs import TrainingRun
from model.vocabulary import Vocabulary

MODEL = "molecules-1"
OTHER_PYTHON = """#!/bin/sh
seen="$(dirname "$0")/seen"
printf '%s\n' "$@" > "$seen.arguments"
env > "$seen.environment"
cd "$COPY/training/molecules-1" 2>/dev/null && cat steps > "$seen.steps"
mkdir -p "$COPY/training/molecules-1" && echo 90 > "$COPY/training/molecules-1/steps"
[ "$FAILS" = yes ] && exit 1
mkdir -p "$COPY/checkpoints/molecules-1" && echo '{}' > "$COPY/checkpoints/molecules-1/config.json"
echo '{"table_versions": {"captions": 0}, "steps": 90}' > "$COPY/checkpoints/molecules-1/provenance.json"
"""


@pytest.fixture
def run(tmp_path: Path) -> TrainingRun:
    root = tmp_path / "lake"
    data = TrainingData("fingerprint", 3, 0, "", 9, Vocabulary(("<pad>", "<start>", "<end>", "<unknown>", "C")))
    checkpoint, folder = root / "checkpoints" / MODEL, root / "training" / MODEL
    planned = TrainingRun(MODEL, data, checkpoint, folder, table_versions={"captions": 7})
    planned.folder.mkdir(parents=True)
    planned.checkpoint.parent.mkdir(parents=True)
    (planned.folder / "steps").write_text("50\n")
    return planned


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where training works; OTHER_PYTHON is started there."""
    script = tmp_path / "python"
    script.write_text(OTHER_PYTHON)
    script.chmod(0o755)
    monkeypatch.setattr(detached_training, "RAY_PYTHON", str(script))
    monkeypatch.setenv("COPY", str(tmp_path / "copy"))
    return tmp_path / "copy"


@pytest.mark.slow
def test_tables_are_copied_the_job_is_started_apart_and_its_model_comes_back(
    lake: Lake, run: TrainingRun, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caption = dict.fromkeys(CAPTIONS.schema.names) | {"image_id": "a", "caption_index": 0, "caption": "C"}
    lake.insert_new("captions", lake.spark.createDataFrame([caption], CAPTIONS.schema))
    features = dict.fromkeys(IMAGE_FEATURES.schema.names) | {"image_id": "a", "encoder_version": "e"}
    lake.insert_new("image_features", lake.spark.createDataFrame([features], IMAGE_FEATURES.schema))
    monkeypatch.setenv("SPARK_HOME", "/databricks/spark")
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "16.4")
    given = ["--dataset", "molecules", "--set", "storage.catalog=main"]
    detached_training.train_detached(lake, run, str(copy), given)

    overrides = (f"storage.root={copy}", "storage.catalog=null", "storage.schema_name=null", "cluster.address=auto")
    sets = [word for override in (*overrides, "tracking.is_on=false") for word in ("--set", override)]
    arguments = (tmp_path / "seen.arguments").read_text().splitlines()
    assert arguments == ["-m", "jobs.train_captioner", *given, "--verbose", *sets]
    environment = dict(
        line.split("=", 1) for line in (tmp_path / "seen.environment").read_text().splitlines() if "=" in line
    )
    assert environment["PATH"] == os.environ["PATH"]
    assert not {"SPARK_HOME", "DATABRICKS_RUNTIME_VERSION"} & environment.keys()
    assert (environment["RAY_AUTH_MODE"], environment["RAY_AUTH_TOKEN_PATH"]) == ("token", detached_training.RAY_TOKEN)
    copied = Lake(lake.spark, lake.storage.model_copy(update={"root": str(copy)}))
    assert [row.caption for row in copied.read("captions").collect()] == ["C"]
    assert [row.image_id for row in copied.read("image_features").collect()] == ["a"]
    assert not copied.has("caption_reviews")  # as in the lake
    assert (tmp_path / "seen.steps").read_text() == "50\n"
    assert json.loads((run.checkpoint / "config.json").read_text()) == {}
    provenance = json.loads((run.checkpoint / "provenance.json").read_text())
    assert provenance == {"table_versions": {"captions": 7}, "steps": 90}  # of the lake, not of the copies
    assert run.is_trained


@pytest.mark.slow
def test_a_training_that_fails_brings_back_what_the_next_one_resumes_from(
    lake: Lake, run: TrainingRun, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "yes")
    with pytest.raises(TrainingFailedError, match="train_captioner"):
        detached_training.train_detached(lake, run, str(copy), [])
    assert (run.folder / "steps").read_text() == "90\n"
    assert not run.is_trained
    # On the same cluster the copy came further than what a killed process could bring back.
    (run.folder / "steps").write_text("50\n")
    with pytest.raises(TrainingFailedError):
        detached_training.train_detached(lake, run, str(copy), [])
    assert (tmp_path / "seen.steps").read_text() == "90\n"
