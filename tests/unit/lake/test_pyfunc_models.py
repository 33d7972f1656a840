"""Models that MLflow should load and cannot; ones that it does load are in tests/slow/test_second_pyfunc.py."""

import sys
from pathlib import Path

import pytest

from lib.errors import RuntimeMissingError, SettingsError
from lib.lake.pyfunc_models import load_pyfunc
from lib.sections.lake import StorageSettings


def storage(root: Path) -> StorageSettings:
    return StorageSettings(root=str(root / "lake"), catalog=None, schema_name=None)


@pytest.mark.parametrize("name", ["blip", "neighbours", "", "/nowhere/blip"])
def test_a_name_that_is_neither_folder_nor_address_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        SettingsError, match=f"^the setting is '{name}', which is not a folder with a file MLmodel: name "
    ):
        load_pyfunc(storage(tmp_path), name, "the setting")


def test_without_mlflow_a_folder_and_an_address_ask_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    (tmp_path / "blip").mkdir()
    (tmp_path / "blip" / "MLmodel").write_text("")
    for name in (str(tmp_path / "blip"), "models:/blip@champion", "runs:/1/model"):
        with pytest.raises(RuntimeMissingError, match=f"^the setting is '{name}', and MLflow is not installed: inst"):
            load_pyfunc(storage(tmp_path), name, "the setting")
    assert not (tmp_path / "lake").exists()
