"""Runs and models in a real MLflow on files of this machine: `pytest -m slow tests/slow/test_model_registry.py`.

Left out by default, since set-up does not bring MLflow: install mlflow-skinny first (2.21 and 3.17 were seen to work).
"""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lib.captioning.image_captioning import ImageCaptioner
from lib.captioning.registered_captioner import write_model
from lib.images.cleaning import clean_image, encode_png
from lib.lake.delta_tables import Lake
from lib.lake.models import CURRENT_MODEL, checkpoints_folder
from lib.lake.schemas import TRAINING_METRICS
from lib.molecules.drawing import draw_molecule
from lib.settings import Settings, load_settings
from lib.training.model_registry import ALIAS, check_tracking, record_training
from lib.training.training_runs import TrainingRun
from model.checkpoint import PRETRAINED

mlflow = pytest.importorskip("mlflow", reason="needs the Python package mlflow-skinny")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
ASPIRIN = "InChI=1S/C9H8O4/c1-6(10)13-8-5-3-2-4-7(8)9(11)12/h2-5H,1H3,(H,11,12)"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAME = "captioner"


@pytest.fixture
def settings(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # newer ones would rather have a database
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    mlflow.set_registry_uri((tmp_path / "mlruns").as_uri())
    experiment_id = mlflow.MlflowClient().create_experiment("training")
    yield load_settings(
        "molecules",
        "local",
        [
            f"storage.root={lake.storage.root}",
            f"tracking.experiment_id={experiment_id}",
            f"tracking.registered_model={NAME}",
        ],
    )
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


def trained(lake: Lake, settings: Settings, version: str) -> TrainingRun:
    """A model as train_captioner leaves it: its checkpoint, its rows of training_metrics, and current."""
    folder = checkpoints_folder(lake.storage)
    shutil.copytree(PRETRAINED / "molecules", folder / version)
    provenance = {
        "model_version": version,
        "num_workers": 2,
        "settings": settings.model_dump(mode="json", include={"cleaning"}),
    }
    (folder / version / "provenance.json").write_text(json.dumps(provenance))
    rows = [
        (version, 0, 10, 2.5, None, None, None, 0.1, 50.0, 2, NOON),
        (version, 1, 20, None, 1.5, 0.75, 8.0, None, None, 2, NOON),
    ]
    lake.insert_new("training_metrics", lake.spark.createDataFrame(rows, TRAINING_METRICS.schema))
    (folder / CURRENT_MODEL).write_text(version + "\n")
    data: Any = None
    return TrainingRun(version, data, folder / version, Path(lake.storage.root) / "training" / version)


def record(lake: Lake, run: TrainingRun, settings: Settings) -> None:
    write = partial(write_model, checkpoint=run.checkpoint, settings=settings.prediction)
    record_training(lake, settings.tracking, run.checkpoint, write)


def runs(settings: Settings) -> list[Any]:
    found = mlflow.MlflowClient().search_runs([settings.tracking.experiment_id])
    return sorted(found, key=lambda run: run.info.start_time)


def version_in_use() -> str:
    return str(mlflow.MlflowClient().get_model_version_by_alias(NAME, ALIAS).version)


def test_a_training_is_a_run_with_its_settings_and_metrics(lake: Lake, settings: Settings) -> None:
    record(lake, trained(lake, settings, "m1"), settings)
    (run,) = runs(settings)
    assert (run.info.status, run.info.run_name, run.data.tags["model_version"]) == ("FINISHED", "m1", "m1")
    assert run.data.params["num_workers"] == "2"
    assert run.data.params["settings.cleaning.stroke_length_px"] == "16.0"
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "train_loss")
    assert [(metric.step, metric.value, metric.timestamp) for metric in history] == [(10, 2.5, NOON.timestamp() * 1000)]
    assert run.data.metrics["validation_loss"] == 1.5


def test_the_registered_model_captions_images_as_they_arrive(lake: Lake, settings: Settings) -> None:
    run = trained(lake, settings, "m1")
    record(lake, run, settings)
    image = encode_png(draw_molecule(ASPIRIN, settings.drawing, np.random.default_rng(0)).pixels)
    captions = mlflow.pyfunc.load_model(f"models:/{NAME}@{ALIAS}").predict(pd.DataFrame({"image": [b"none", image]}))
    pixels = clean_image(image, settings.cleaning).pixels
    (expected,) = ImageCaptioner(run.checkpoint, settings.prediction).caption([pixels])
    assert captions.iloc[0].isna().all()
    assert captions.iloc[1].tolist() == [expected.caption, pytest.approx(expected.confidence), expected.is_valid]
    assert expected.caption == ASPIRIN


def test_a_training_that_is_found_again_is_recorded_once(lake: Lake, settings: Settings) -> None:
    run = trained(lake, settings, "m1")
    record(lake, run, settings)
    record(lake, run, settings)
    assert len(runs(settings)) == 1
    assert len(mlflow.MlflowClient().search_model_versions(f"name = '{NAME}'")) == 1


def test_a_recording_that_was_killed_is_made_again(lake: Lake, settings: Settings) -> None:
    tags = {"model_version": "m1"}
    mlflow.MlflowClient().create_run(settings.tracking.experiment_id, run_name="m1", tags=tags)
    record(lake, trained(lake, settings, "m1"), settings)
    assert [run.info.status for run in runs(settings)] == ["RUNNING", "FINISHED"]


def test_the_alias_follows_the_current_model_there_and_back(lake: Lake, settings: Settings) -> None:
    record(lake, trained(lake, settings, "m1"), settings)
    newer = trained(lake, settings, "m2")
    record(lake, newer, settings)
    assert version_in_use() == "2"
    (checkpoints_folder(lake.storage) / CURRENT_MODEL).write_text("m1\n")  # a roll-back
    record(lake, newer, settings)
    assert version_in_use() == "1"


def test_a_registry_that_refuses_is_a_warning(lake: Lake, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    refused = settings.model_copy(update={"tracking": settings.tracking.model_copy(update={"experiment_id": "404"})})
    record(lake, trained(lake, settings, "m1"), refused)
    assert "MLflow did not record model m1: " in caplog.text


def test_with_mlflow_there_is_nothing_to_complain_of(settings: Settings) -> None:
    check_tracking(settings.tracking)
