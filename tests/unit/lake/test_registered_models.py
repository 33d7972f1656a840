"""Models of a registry where MLflow is not installed; with it, see tests/slow/test_real_registry.py."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib.captioning.captioner import Captioner
from lib.errors import RuntimeMissingError, SettingsError
from lib.lake.models import resolve_model
from lib.lake.registered_models import fetch_registered_model
from lib.sections.lake import StorageSettings
from lib.serving.service import models_to_serve
from lib.settings import load_settings

CHAMPION = "models:/captioner@champion"
SERVED = f"serving.models={{molecules: '{CHAMPION}'}}"
ASK: dict[str, Callable[[str], Any]] = {
    "the jobs": lambda root: resolve_model(
        StorageSettings(root=root, catalog=None, schema_name=None), CHAMPION, "molecules"
    ),
    "the server": lambda root: models_to_serve(load_settings("molecules", "local", [f"storage.root={root}", SERVED])),
    "from Python": lambda root: Captioner(CHAMPION, overrides=[f"storage.root={root}"]),
}


@pytest.mark.parametrize("who", ASK)
def test_without_mlflow_a_registered_model_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, who: str
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(RuntimeMissingError, match="MLflow is not installed: install the Python package mlflow-skinny"):
        ASK[who](str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["models:/", "models:/captioner", "models:/captioner/latest", "models:/captioner@"])
def test_a_name_without_alias_or_version_is_refused(tmp_path: Path, name: str) -> None:
    storage = StorageSettings(root=str(tmp_path), catalog=None, schema_name=None)
    with pytest.raises(SettingsError, match="write models:/NAME@ALIAS or models:/NAME/VERSION in prediction"):
        fetch_registered_model(storage, name, tmp_path / "checkpoints")
