"""What several slow files need: a lake whose trainings are recorded in a real MLflow, and a real browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from lib.lake.delta_tables import Lake
from lib.lake.registered_models import DATABASE, PATIENCE
from lib.settings import Settings, load_settings
from tests.slow.recorded import NAME
from tests.slow.review_browser import start_browser


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow without an experiment: to make its tables takes seconds."""
    file = tmp_path_factory.mktemp("mlflow") / DATABASE
    mlflow.MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def settings(lake: Lake, database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings of the lake, with that database in it."""
    for name, value in (*PATIENCE.items(), ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path(lake.storage.root).mkdir()
    shutil.copy(database, lake.storage.root)
    yield load_settings(
        "molecules", "local", [f"storage.root={lake.storage.root}", f"tracking.registered_model={NAME}"]
    )
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


@pytest.fixture
def browser() -> Iterator[Any]:
    """Chromium, which ends with the test."""
    driver = start_browser()
    yield driver
    driver.quit()
