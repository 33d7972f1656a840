"""A server whose answers have a second caption beside ours, one for the whole file: nearest neighbours of photographs.

`pytest -n 0 tests/unit/serving/test_second_in_answers.py`. The tests run in their order; the last stops a process.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import torch

from lib.captioning.captioner import Captioner
from lib.serving import score
from tests.unit.serving.neighbour_lake import SQUARES, STRIPES, fill, photograph
from tests.unit.serving.served import QUICK, ROOT, Server

torch.set_num_threads(1)  # threads would wait for each other longer than they compute
pytest.importorskip("timm", reason="needs the extra photos")

SECOND = "serving.second_captioners={photos: nearest_neighbours}"
SECOND_DEADLINE_S = 20
IMAGES = [photograph(*SQUARES, seed=1), b"no image", photograph(*STRIPES, seed=1)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("served")
    fill(root / "lake")
    limits = ("serving.num_processes=1", f"serving.second_deadline_s={SECOND_DEADLINE_S}", "serving.deadline_s=120")
    server = Server(root, "serving.models={photos: pretrained}", SECOND, *limits)
    server.wait_until_it_listens()
    server.wait_until_ready()
    yield server
    server.kill()


def ask(server: Server) -> list[dict[str, Any]]:
    files = [("images", (f"{index}.png", image)) for index, image in enumerate(IMAGES)]
    answer = httpx.post(f"{server.url}/caption", files=files, timeout=240)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["captions"])


def assert_ours(answers: list[dict[str, Any]], overrides: tuple[str, ...] = QUICK) -> None:
    """Our part of answers is what the captioner says of the images."""
    expected = Captioner.pretrained("photos", overrides).caption(IMAGES)
    assert len(answers) == len(expected)
    for got, ours in zip(answers, expected, strict=True):
        assert (got["caption"], got["is_valid"], got["reason"]) == (ours.caption, ours.is_valid, ours.reason)
        assert got["confidence"] == (ours.confidence and pytest.approx(ours.confidence, abs=1e-4))
        assert [one["caption"] for one in got["alternatives"]] == [caption for caption, _ in ours.alternatives]


def assert_neighbours(answers: list[dict[str, Any]]) -> None:
    squares, unread, stripes = (answer["second"] for answer in answers)
    assert squares == {"caption": "red squares", "captioner": "nearest_neighbours", "reason": None}
    assert stripes == {"caption": "green stripes", "captioner": "nearest_neighbours", "reason": None}
    assert (unread["caption"], unread["reason"][:12]) == (None, "not_an_image")


def test_answers_have_the_caption_of_the_most_similar_train_image_beside_ours(server: Server) -> None:
    answers = ask(server)
    assert_ours(answers)
    assert_neighbours(answers)
    body = {"instances": [base64.b64encode(image).decode() for image in IMAGES]}
    predictions = httpx.post(f"{server.url}/invocations", json=body, timeout=240).json()["predictions"]
    assert_ours(predictions)
    assert_neighbours(predictions)
    assert server.metric("captionlake_second_captions_total") == 6
    text = httpx.get(f"{server.url}/metrics").text
    assert 'captionlake_second_captions_total{dataset="photos",outcome="captioned"} 4.0' in text
    assert 'captionlake_second_captions_total{dataset="photos",outcome="failed"} 2.0' in text


def test_a_command_writes_the_second_caption_to_a_column(server: Server, tmp_path: Path) -> None:
    (tmp_path / "squares.png").write_bytes(IMAGES[0])
    command = ["-m", "jobs.send_folder", str(tmp_path), "--dataset", "photos", "--url", server.url]
    subprocess.run([sys.executable, *command, "--output", str(tmp_path / "out.csv")], cwd=ROOT, check=True)
    header, row = (tmp_path / "out.csv").read_text().splitlines()
    assert (header[-15:], row[-12:]) == (",second_caption", ",red squares")


@pytest.mark.slow
def test_a_second_captioner_that_hangs_costs_its_own_caption_alone(server: Server) -> None:
    second = min(server.captioning_processes(), key=lambda process: psutil.Process(process).create_time())
    os.kill(second, signal.SIGSTOP)
    began = time.monotonic()
    answers = ask(server)
    assert time.monotonic() - began < 2 * SECOND_DEADLINE_S
    assert_ours(answers)
    late = f"the second captioner had not answered after {SECOND_DEADLINE_S} s"
    assert {answer["second"]["reason"] for answer in answers} == {late}
    again = ask(server)
    assert_ours(again)
    assert {answer["second"]["caption"] for answer in again} == {None}
    os.kill(second, signal.SIGKILL)
    until = time.monotonic() + 240
    while ask(server)[0]["second"]["caption"] != "red squares":
        assert time.monotonic() < until
        time.sleep(0.5)


def test_the_scoring_script_answers_with_it_too(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    for name in ("AZUREML_MODEL_DIR", "CAPTIONLAKE_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CAPTIONLAKE_DATASET", "photos")
    monkeypatch.setenv("CAPTIONLAKE_SECOND_CAPTIONER", "nearest_neighbours")
    monkeypatch.setenv("CAPTIONLAKE_STORAGE_ROOT", str(server.lake))
    score.init()
    rows = [{"image": base64.b64encode(image).decode()} for image in IMAGES]
    try:
        for _ in range(10):  # a busy machine may be late
            answers = json.loads(score.run(json.dumps({"dataframe_records": rows})))["predictions"]
            if answers[0]["second"]["caption"]:
                break
        assert_ours(answers, ())
        assert_neighbours(answers)
    finally:
        monkeypatch.delenv("CAPTIONLAKE_SECOND_CAPTIONER")
        score.init()
    (unread,) = json.loads(score.run(json.dumps({"dataframe_records": rows[1:2]})))["predictions"]
    assert unread["second"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ("{photos: nearest_neighbours}", "has none: run ingest_images, clean_images and extract_features there"),
        ("{photos: neighbours}", "serving.second_captioners.photos is 'neighbours', which is not a folder with a file"),
        ("{maps: nearest_neighbours}", "serving.second_captioners names dataset 'maps', and no model is served for it"),
    ],
)
def test_one_that_cannot_be_had_stops_the_server_in_a_sentence(tmp_path: Path, second: str, sentence: str) -> None:
    settings = (f"storage.root={tmp_path}", "serving.port=0", "serving.models={photos: pretrained}")
    overrides = [word for one in (*settings, f"serving.second_captioners={second}") for word in ("--set", one)]
    command = [sys.executable, "-m", "jobs.serve_captions", *overrides]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
