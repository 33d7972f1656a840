"""Runs and models in a real MLflow with its database."""

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
import numpy as np
import pandas as pd
import pytest

from lib.captioning.image_captioning import CleanedImage, ImageCaptioner
from lib.images.cleaning import clean_image, encode_png
from lib.lake.delta_tables import Lake
from lib.lake.models import make_candidate, make_current
from lib.lake.registered_models import RUN_ID
from lib.molecules.drawing import draw_molecule
from lib.settings import Settings
from lib.training import model_registry
from lib.training.model_registry import EXPERIMENT, attach_report, check_tracking, follow_models
from tests.known_molecules import ASPIRIN
from tests.slow.recorded import EXAMPLE, NAME, NOON, record, trained
from tests.unit.serving.served import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def runs() -> list[Any]:
    """The runs of the experiment, oldest first."""
    experiment = mlflow.MlflowClient().get_experiment_by_name(EXPERIMENT)
    found = mlflow.MlflowClient().search_runs([experiment.experiment_id])
    return sorted(found, key=lambda run: run.info.start_time)


def version_with(alias: str) -> str:
    return str(mlflow.MlflowClient().get_model_version_by_alias(NAME, alias).version)


def test_a_training_is_a_run_with_its_settings_and_metrics(lake: Lake, settings: Settings) -> None:
    checkpoint = trained(lake, settings, "m1")
    record(lake, checkpoint, settings)
    (run,) = runs()
    assert (run.info.status, run.info.run_name, run.data.tags["model_version"]) == ("FINISHED", "m1", "m1")
    assert (checkpoint / RUN_ID).read_text().strip() == run.info.run_id
    assert run.data.params["num_workers"] == "2"
    assert (run.data.params["git_commit"], run.data.params["table_versions.captions"]) == ("c0ffee", "3")
    assert run.data.params["settings.cleaning.stroke_length_px"] == "16.0"
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "train_loss")
    assert [(metric.step, metric.value, metric.timestamp) for metric in history] == [(10, 2.5, NOON.timestamp() * 1000)]
    assert run.data.metrics["validation_loss"] == 1.5


def test_the_registered_model_captions_images_as_they_arrive(lake: Lake, settings: Settings) -> None:
    checkpoint = trained(lake, settings, "m1")
    record(lake, checkpoint, settings)
    image = encode_png(draw_molecule(ASPIRIN, settings.drawing, np.random.default_rng(0)).pixels)
    captions = mlflow.pyfunc.load_model(f"models:/{NAME}@champion").predict(pd.DataFrame({"image": [b"none", image]}))
    pixels = clean_image(image, settings.cleaning).pixels
    (expected,) = ImageCaptioner(checkpoint, settings.prediction).caption([CleanedImage(pixels)])
    assert captions.iloc[0].drop("alternatives").isna().all()
    assert captions.iloc[0]["alternatives"] == []
    *told, alternatives = captions.iloc[1].tolist()
    assert told == [expected.caption, pytest.approx(expected.confidence), expected.is_valid]
    assert [one["caption"] for one in alternatives] == [caption for caption, _ in expected.alternatives] != []
    example = mlflow.models.Model.load(f"models:/{NAME}@champion").load_input_example()
    assert example["image"][0] == EXAMPLE
    assert expected.caption == ASPIRIN


ALONE = """
import sys
sys.path = [path for path in sys.path if path and path != sys.argv[2]]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder)]
import mlflow, pandas, psutil
model = mlflow.pyfunc.load_model(sys.argv[1])
import lib
assert not lib.__path__[0].startswith(sys.argv[2]), lib.__path__
image = bytes.fromhex(sys.stdin.read())
print(model.predict(pandas.DataFrame({"image": [image]})).caption[0])
(child,) = (one for one in psutil.Process().children() if "lib.captions.notation_process" in one.cmdline())
assert child.environ()["PYTHONPATH"].startswith(lib.__path__[0].removesuffix("/lib")), child.environ()
"""


def test_a_registered_model_brings_its_code_and_names_what_it_imports(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    record(lake, trained(lake, settings, "m1"), settings)
    folder = mlflow.artifacts.download_artifacts(f"models:/{NAME}@champion", dst_path=str(tmp_path / "model"))
    requirements = (Path(folder) / "requirements.txt").read_text().splitlines()
    assert {"torch", "rdkit", "opencv-python-headless"} <= {one.partition("==")[0] for one in requirements}
    assert not {"pyspark", "ray", "captionlake"} & {one.partition("==")[0] for one in requirements}
    image = encode_png(draw_molecule(ASPIRIN, settings.drawing, np.random.default_rng(0)).pixels)
    command = [sys.executable, "-W", "ignore", "-c", ALONE, folder, str(ROOT)]
    told = subprocess.run(command, input=image.hex(), cwd=tmp_path, capture_output=True, text=True)
    assert told.stdout.strip() == ASPIRIN, told.stderr


def test_a_training_that_is_found_again_is_recorded_once(lake: Lake, settings: Settings) -> None:
    checkpoint = trained(lake, settings, "m1")
    record(lake, checkpoint, settings)
    record(lake, checkpoint, settings)
    assert len(runs()) == 1
    assert len(mlflow.MlflowClient().search_model_versions(f"name = '{NAME}'")) == 1


def test_a_recording_that_was_killed_is_made_again(lake: Lake, settings: Settings) -> None:
    record(lake, trained(lake, settings, "m1"), settings)
    (run,) = runs()
    mlflow.MlflowClient().set_terminated(run.info.run_id, "KILLED")
    record(lake, trained(lake, settings, "m2"), settings)
    assert [(run.info.run_name, run.info.status) for run in runs()] == [
        ("m1", "KILLED"),
        ("m1", "FINISHED"),
        ("m2", "FINISHED"),
    ]


def test_the_aliases_follow_champion_and_candidate_there_and_back(lake: Lake, settings: Settings) -> None:
    record(lake, trained(lake, settings, "m1"), settings)
    record(lake, trained(lake, settings, "m2"), settings)
    make_candidate(lake.storage, "m2")
    assert (version_with("champion"), version_with("candidate")) == ("2", "2")
    make_current(lake.storage, "m1")  # a roll-back
    follow_models(lake.storage, settings.tracking)
    assert (version_with("champion"), version_with("candidate")) == ("1", "2")


@pytest.mark.parametrize("in_use", ["pretrained", "/data/it's/model"])
def test_an_alias_goes_when_a_model_that_is_not_registered_is_put_in_use(
    in_use: str, lake: Lake, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    record(lake, trained(lake, settings, "m1"), settings)
    make_candidate(lake.storage, "m1")
    make_current(lake.storage, in_use)
    logger = logging.getLogger(model_registry.__name__)
    logger.addHandler(caplog.handler)  # MLflow's database takes the root's handlers away
    caplog.set_level("INFO", logger.name)
    try:
        for _ in range(2):  # the second finds nothing to remove
            follow_models(lake.storage, settings.tracking)
    finally:
        logger.removeHandler(caplog.handler)
    assert list(mlflow.MlflowClient().get_registered_model(NAME).aliases) == ["candidate"]
    assert f"MLflow: {NAME} has no alias champion now: model {in_use} is not registered" in caplog.text
    assert "did not move its aliases" not in caplog.text


def test_an_alias_stays_with_the_model_in_use_when_its_run_is_gone(lake: Lake, settings: Settings) -> None:
    record(lake, trained(lake, settings, "m1"), settings)
    make_candidate(lake.storage, "m1")
    make_current(lake.storage, "m1")
    follow_models(lake.storage, settings.tracking)
    client = mlflow.MlflowClient()
    client.delete_run(client.get_model_version_by_alias(NAME, "champion").run_id)
    follow_models(lake.storage, settings.tracking)
    assert version_with("champion") == "1"


def test_a_server_that_is_down_is_one_warning_and_what_it_missed_is_sent_later(
    lake: Lake, settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{nobody_listens.getsockname()[1]}")
        missed = trained(lake, settings, "m1")
        record(lake, missed, settings)
    (warning,) = (record for record in caplog.records if record.name == model_registry.__name__)
    assert warning.getMessage().startswith("MLflow did not record model m1: ")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    record(lake, trained(lake, settings, "m2"), settings)
    assert [(run.info.run_name, run.data.metrics["validation_loss"]) for run in runs()] == [("m1", 1.5), ("m2", 1.5)]
    assert (missed / RUN_ID).read_text().strip() == runs()[0].info.run_id


def test_a_models_report_lies_beside_its_run_and_is_sent_again_only_if_it_changes(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    record(lake, trained(lake, settings, "m1"), settings)
    (run,) = runs()
    report = tmp_path / "m1.html"
    kept = Path(urlsplit(run.info.artifact_uri).path) / "m1.html"
    assert Path(lake.storage.root) in kept.parents
    for text in ("first", "second"):
        report.write_text(text)
        attach_report(lake.storage, settings.tracking, "m1", report)
        assert kept.read_text() == text
    os.utime(kept, (0, 0))
    attach_report(lake.storage, settings.tracking, "m1", report)
    assert kept.stat().st_mtime == 0


def test_without_a_name_for_models_none_is_registered(lake: Lake, settings: Settings) -> None:
    tracking = settings.tracking.model_copy(update={"registered_model": None})
    record(lake, trained(lake, settings, "m1"), settings.model_copy(update={"tracking": tracking}))
    assert [run.info.status for run in runs()] == ["FINISHED"]
    assert mlflow.MlflowClient().search_registered_models() == []


def test_without_the_packages_of_its_database_mlflow_is_left_alone_with_a_warning(
    lake: Lake, settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sqlparse", None)
    record(lake, trained(lake, settings, "m1"), settings)
    assert "MLflow did not record model m1: MLflow's database mlflow.db needs sqlparse: install" in caplog.text


def test_with_mlflow_there_is_nothing_to_complain_of(settings: Settings) -> None:
    check_tracking(settings.tracking)
