"""Which models are served and by how many processes: `pytest tests/unit/serving/test_models_to_serve.py`."""

import json
import os
import shutil
from pathlib import Path

import pytest

from lib.errors import SettingsError
from lib.lake.models import Model, resolve_model
from lib.serving import service
from lib.serving.model_process import ModelSource
from lib.settings import CONF, load_settings
from model.checkpoint import PRETRAINED


def test_a_model_that_is_named_by_its_path_is_called_as_in_the_tables_and_new_weights_are_another_model(
    tmp_path: Path,
) -> None:
    shutil.copytree(PRETRAINED / "molecules", tmp_path / "mine")
    given = [f"storage.root={tmp_path}", f"serving.models={{molecules: {tmp_path}/mine}}"]
    settings = load_settings("molecules", "local", given)
    served = service.models_to_serve(settings)["molecules"]
    assert served == resolve_model(settings.storage, f"{tmp_path}/mine", "molecules")
    (tmp_path / "mine" / "vocabulary.json").write_text(json.dumps(["other"]))
    assert service.models_to_serve(settings)["molecules"].version != served.version


def test_a_model_of_another_notation_is_refused_in_a_sentence() -> None:
    source = ModelSource({"photos": Model("m1", PRETRAINED / "molecules")}, (), None, 1, "local")
    with pytest.raises(SettingsError, match=r"model m1 writes captions.notation smiles_drawn_kekule, dataset photos"):
        source.load()


@pytest.mark.parametrize(
    ("quota", "most"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", 10_000), (None, 10_000)]
)
def test_a_container_with_a_quota_gets_no_more_processes_than_it_has_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str | None, most: int
) -> None:
    monkeypatch.setattr(service, "CPU_QUOTA", tmp_path / "cpu.max")
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota + "\n")
    assert service._num_cores() == min(len(os.sched_getaffinity(0)), most)


def test_the_processes_load_the_settings_of_the_servers_environment(tmp_path: Path) -> None:
    shutil.copytree(CONF, tmp_path / "conf")
    own = tmp_path / "conf" / "environments" / "mine.yaml"
    own.write_text((CONF / "environments" / "local.yaml").read_text() + "\nprediction: {num_beams: 1, scales: [1.0]}\n")
    models = {"molecules": Model("m1", PRETRAINED / "molecules")}
    captioner = ModelSource(models, (), str(tmp_path / "conf"), 1, "mine").load()["molecules"]
    assert captioner._captioner.settings.num_beams == 1
