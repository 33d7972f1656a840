"""Tracking where MLflow is not installed; with it, see tests/slow/test_model_registry.py."""

import sys
from typing import Any

import pytest

from lib.errors import RuntimeMissingError
from lib.settings import load_settings
from lib.training.model_registry import check_tracking, record_training


def test_tracking_without_mlflow_is_refused_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    settings = load_settings("molecules", "local", ["tracking.experiment_id=7"])
    assert settings.tracking.experiment_id == "7"
    with pytest.raises(RuntimeMissingError, match="install the Python package mlflow-skinny"):
        check_tracking(settings.tracking)


def test_nothing_is_tracked_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    settings, nothing = load_settings("molecules", "local"), Any
    check_tracking(settings.tracking)
    record_training(nothing, settings.tracking, nothing, nothing)  # type: ignore[arg-type]
