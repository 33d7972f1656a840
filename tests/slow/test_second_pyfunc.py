"""Models that a real MLflow loads beside ours."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest

from lib.captioning.captioner import Captioner
from lib.captioning.pyfunc_captioner import PyfuncCaptioner
from lib.captioning.registered_captioner import write_model
from lib.captioning.second_captioner import SecondCaption
from lib.errors import MissingInputError
from lib.lake.pyfunc_models import load_pyfunc
from lib.lake.registered_models import DATABASE
from lib.sections.lake import StorageSettings
from lib.serving import score
from lib.settings import load_settings
from model.checkpoint import PRETRAINED
from tests.known_molecules import ASPIRIN, CAFFEINE
from tests.unit.serving.served import QUICK, ROOT, Server, drawing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
IMAGES = [drawing(ASPIRIN), b"no image", drawing(CAFFEINE)]
MODULE = "tests.slow.second_pyfunc"


def saved(folder: Path, manner: str) -> Path:
    """The folder of a model that MLflow has saved."""
    (folder.parent / f"{folder.name}.txt").write_text(manner)
    mlflow.pyfunc.save_model(folder, loader_module=MODULE, data_path=str(folder.parent / f"{folder.name}.txt"))
    return folder


def storage(root: Path) -> StorageSettings:
    return StorageSettings(root=str(root), catalog=None, schema_name=None)


@contextmanager
def served(root: Path, second: Path | str, *overrides: str) -> Iterator[Server]:
    server = Server(root, "serving.num_processes=1", f"serving.second_captioners={{molecules: '{second}'}}", *overrides)
    try:
        server.wait_until_it_listens()
        server.wait_until_ready()
        yield server
    finally:
        server.kill()


def ask(server: Server) -> list[dict[str, Any]]:
    body = {"instances": [base64.b64encode(image).decode() for image in IMAGES]}
    answer = httpx.post(f"{server.url}/invocations", json=body, timeout=240)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["predictions"])


def assert_ours(answers: list[dict[str, Any]]) -> None:
    ours = Captioner.pretrained("molecules", QUICK).caption(IMAGES)
    assert [(answer["caption"], answer["reason"]) for answer in answers] == [(one.caption, one.reason) for one in ours]


@pytest.mark.parametrize("manner", ["column", "strings"])
def test_a_folder_of_mlflow_is_loaded_and_asked_with_bytes(tmp_path: Path, manner: str) -> None:
    captioner = PyfuncCaptioner(load_pyfunc(storage(tmp_path / "lake"), str(saved(tmp_path / "tiny", manner)), "it"))
    first, bad, last = captioner.caption(IMAGES)
    assert (first, last) == tuple(SecondCaption(f"{len(image)} bytes") for image in (IMAGES[0], IMAGES[2]))
    assert bad[:3] == (None, "the second captioner failed at this image (ValueError)", "failed")


def test_our_own_registered_model_may_be_the_second_one(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    prediction = load_settings("molecules", "local", QUICK).prediction
    module = write_model(tmp_path / "content", PRETRAINED / "molecules", prediction)
    mlflow.pyfunc.save_model(tmp_path / "ours", loader_module=module, data_path=str(tmp_path / "content"))
    captioner = PyfuncCaptioner(load_pyfunc(storage(tmp_path / "lake"), str(tmp_path / "ours"), "it"))
    assert [one.caption for one in captioner.caption(IMAGES)] == [ASPIRIN, None, CAFFEINE]


def test_what_cannot_be_loaded_is_a_sentence(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    for name, why in (
        (str(saved(tmp_path / "broken", "breaks")), "no module named blip"),
        ("models:/blip@champion", "Registered Model with name=blip not found"),
    ):
        with pytest.raises(MissingInputError) as refused:
            load_pyfunc(storage(tmp_path / "lake"), name, "it")
        assert str(refused.value) == f"it is {name!r}, which MLflow could not load: {why}"
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


def test_a_model_of_the_registry_stands_beside_ours_in_a_server(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = f"sqlite:///{tmp_path / DATABASE}"
    (tmp_path / DATABASE).write_bytes(database.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry)
    client = mlflow.MlflowClient(registry, registry)
    client.create_registered_model("tiny")
    client.create_model_version("tiny", str(saved(tmp_path / "tiny", "column")))
    client.set_registered_model_alias("tiny", "champion", 1)
    with served(tmp_path, "models:/tiny@champion", "serving.second_deadline_s=30") as server:
        answers = ask(server)
        assert_ours(answers)
        expected = [f"{len(IMAGES[0])} bytes", None, f"{len(IMAGES[2])} bytes"]
        assert [answer["second"]["caption"] for answer in answers] == expected
        assert {answer["second"]["captioner"] for answer in answers} == {"models:/tiny@champion"}
        assert "not even ten bytes" in server.faults.read_text()


def test_a_model_that_hangs_costs_its_own_caption_alone(tmp_path: Path) -> None:
    folder = saved(tmp_path / "tiny", "hangs")
    with served(tmp_path, folder, "serving.second_deadline_s=2", "serving.deadline_s=60") as server:
        for _ in range(3):
            answers = ask(server)
            assert_ours(answers)
            assert {(one["second"]["caption"], one["second"]["captioner"]) for one in answers} == {(None, "tiny")}
        began = time.monotonic()
        ask(server)
        assert time.monotonic() - began < 30
        assert server.metric("captionlake_second_captions_total") == 12


def test_the_scoring_script_takes_a_folder_of_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZUREML_MODEL_DIR", "CAPTIONLAKE_MODEL", "CAPTIONLAKE_DATASET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CAPTIONLAKE_SECOND_CAPTIONER", str(saved(tmp_path / "tiny", "strings")))
    score.init()
    rows = [{"image": base64.b64encode(image).decode()} for image in IMAGES]
    answers = json.loads(score.run(json.dumps({"dataframe_records": rows})))["predictions"]
    monkeypatch.delenv("CAPTIONLAKE_SECOND_CAPTIONER")
    score.init()
    assert answers[0]["caption"] == ASPIRIN
    assert answers[0]["second"] == {"caption": f"{len(IMAGES[0])} bytes", "captioner": "tiny", "reason": None}


def test_a_model_that_does_not_load_stops_the_server_in_a_sentence(tmp_path: Path) -> None:
    second = f"serving.second_captioners={{molecules: '{saved(tmp_path / 'broken', 'breaks')}'}}"
    settings = [word for one in (f"storage.root={tmp_path}", "serving.port=0", second) for word in ("--set", one)]
    command = [sys.executable, "-m", "jobs.serve_captions", *settings]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 2
    assert "which MLflow could not load: no module named blip" in ended.stderr.splitlines()[-1]
