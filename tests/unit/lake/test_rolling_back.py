"""The files that say which model is in use; who writes them is in tests/spark/lake/test_model_promotions.py."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from lib.errors import MissingInputError, SettingsError
from lib.lake import models
from lib.lake.delta_tables import Lake
from lib.lake.models import resolve_model
from lib.sections.lake import StorageSettings
from lib.training.training_runs import TrainingRun, finish_training


@pytest.fixture
def storage(tmp_path: Path) -> StorageSettings:
    for version in ("good", "bad"):
        (tmp_path / "checkpoints" / version).mkdir(parents=True)
        (tmp_path / "checkpoints" / version / "config.json").touch()
    return StorageSettings(root=str(tmp_path), catalog=None, schema_name=None)


def finish(storage: StorageSettings, version: str) -> None:
    """What train_captioner does with a model that is there, newly trained or found again."""
    data: Any = None
    root = Path(storage.root)
    run = TrainingRun(version, data, root / "checkpoints" / version, root / "training" / version)
    no_session: Any = None  # no model replaces another here, so no table is written
    finish_training(Lake(no_session, storage), run, "training")


def roll_back(storage: StorageSettings) -> None:
    checkpoints = Path(storage.root) / "checkpoints"
    (checkpoints / "bad" / "withdrawn").write_text("loses every ring\n")
    (checkpoints / "current_model").write_text("good\n")


def test_a_withdrawn_model_does_not_become_current_again_when_training_finds_it(
    storage: StorageSettings, caplog: pytest.LogCaptureFixture
) -> None:
    finish(storage, "bad")
    assert resolve_model(storage, "current", "molecules").version == "bad"
    roll_back(storage)
    finish(storage, "bad")
    assert resolve_model(storage, "current", "molecules").version == "good"
    assert "model bad is not made current, since it was withdrawn (loses every ring)" in caplog.text


def test_the_pretrained_model_can_be_made_current(storage: StorageSettings) -> None:
    (Path(storage.root) / "checkpoints" / "current_model").write_text("pretrained\n")
    assert resolve_model(storage, "current", "molecules") == resolve_model(storage, "pretrained", "molecules")


def test_the_pretrained_models_version_names_its_files(
    storage: StorageSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = resolve_model(storage, "pretrained", "molecules")
    assert re.fullmatch("pretrained-[0-9a-f]{8}", before.version)
    shutil.copytree(before.directory, tmp_path / "copy" / "molecules")
    monkeypatch.setattr(models, "PRETRAINED", tmp_path / "copy")
    same = resolve_model(storage, "pretrained", "molecules")
    assert (same.version, same.directory) == (before.version, tmp_path / "copy" / "molecules")
    for name in ("vocabulary.json", "weights.safetensors"):
        with (same.directory / name).open("ab") as file:
            file.write(b" ")
        assert resolve_model(storage, "pretrained", "molecules").version != before.version
    with pytest.raises(SettingsError, match="no model for dataset maps comes with the project"):
        resolve_model(storage, "pretrained", "maps")


def test_a_roll_back_that_is_half_done_stops_captioning_with_what_to_do(storage: StorageSettings) -> None:
    finish(storage, "bad")
    (Path(storage.root) / "checkpoints" / "bad" / "withdrawn").touch()
    with pytest.raises(MissingInputError) as refused:
        resolve_model(storage, "current", "molecules")
    assert str(refused.value) == (
        "the current model bad was withdrawn (no reason given): put another in use with promote_model --to"
    )


def test_a_withdrawn_model_still_captions_for_who_asks_for_it_by_name(storage: StorageSettings) -> None:
    roll_back(storage)
    assert resolve_model(storage, "bad", "molecules").version == "bad"
