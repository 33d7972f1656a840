"""Tracking where MLflow is not installed; with it, see tests/slow/test_model_registry.py."""

import sys
from pathlib import Path
from typing import Any

import pytest

from lib.errors import RuntimeMissingError
from lib.lake.delta_tables import Lake
from lib.settings import load_settings
from lib.training.model_registry import check_tracking, record_training


def test_tracking_without_mlflow_is_refused_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    settings = load_settings("molecules", "local", ["tracking.experiment_id=7"])
    assert settings.tracking.experiment_id == "7"
    with pytest.raises(RuntimeMissingError, match="install the Python package mlflow-skinny"):
        check_tracking(settings.tracking)


@pytest.mark.parametrize("override", ["tracking.is_on=true", "tracking.is_on=false"])
def test_without_mlflow_a_training_goes_unrecorded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, override: str
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    settings = load_settings("molecules", "local", [override, f"storage.root={tmp_path}"])
    nothing: Any = None
    check_tracking(settings.tracking)
    record_training(Lake(nothing, settings.storage), settings.tracking, tmp_path / "m1", nothing)
    assert (list(tmp_path.iterdir()), caplog.text) == ([], "")
