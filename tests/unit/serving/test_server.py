"""The server as its users meet it, one for the whole file: `pytest -n 0 tests/unit/serving/test_server.py`.

The tests run in their order; the last ones change the model and end the server.
"""

import base64
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
import pytest
import torch

from lib.captioning.captioner import Captioner
from lib.lake.models import make_current
from lib.sections.lake import StorageSettings
from lib.serving.api_keys import ApiKeys
from model.checkpoint import PRETRAINED
from tests.known_molecules import ASPIRIN, CAFFEINE
from tests.unit.serving.served import QUICK, ROOT, Server, drawing

torch.set_num_threads(1)  # threads would wait for each other longer than they compute

DEADLINE_S = 40
LIMITS = (
    "serving.requires_key=always",
    "serving.num_processes=1",
    "serving.batch_size=2",
    "serving.max_queued_images=10",
    "serving.max_images_per_request=10",
    "serving.requests_per_minute=150",
    "serving.check_models_s=0.5",
    f"serving.deadline_s={DEADLINE_S}",
    "serving.url_hosts=[localhost, 127.0.0.1]",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("served")
    ApiKeys(str(root / "lake")).add("unused")  # without any key it does not start
    server = Server(root, *LIMITS)
    server.wait_until_it_listens()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    return ApiKeys(str(server.lake)).add("tests")


@pytest.fixture(scope="module")
def client(server: Server, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=240) as client:
        yield client


def files(*images: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{index}.png", image)) for index, image in enumerate(images)]


def encoded(image: bytes) -> str:
    return base64.b64encode(image).decode()


def detail(answer: httpx.Response) -> str:
    return str(answer.json()["detail"])


def test_it_is_alive_before_its_models_are_warm_and_ready_when_they_are(server: Server, client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    early = client.get("/readyz")
    assert early.status_code == 200 or detail(early).startswith("the models are being loaded")
    server.wait_until_ready()
    assert client.get("/readyz").json() == client.get("/ping").json() == {"status": "ready"}


def test_answers_equal_those_of_the_captioner(client: httpx.Client) -> None:
    images = [drawing(ASPIRIN), b"no image", drawing(CAFFEINE)]
    expected = Captioner.pretrained("molecules", QUICK).caption(images)
    by_form = client.post("/caption", files=files(*images))
    by_json = client.post("/caption?dataset=molecules", json={"images": list(map(encoded, images))})
    assert (by_form.status_code, by_json.status_code) == (200, 200)
    for answer in (by_form, by_json):
        for got, ours in zip(answer.json()["captions"], expected, strict=True):
            assert (got["caption"], got["is_valid"], got["reason"]) == (ours.caption, ours.is_valid, ours.reason)
            assert got["confidence"] == (ours.confidence and pytest.approx(ours.confidence, abs=1e-4))
            assert [one["caption"] for one in got["alternatives"]] == [caption for caption, _ in ours.alternatives]
            assert got["model_version"].startswith("pretrained-")
    assert by_form.json()["captions"][0]["caption"] == ASPIRIN


def test_invocations_take_every_form_of_mlflow(client: httpx.Client) -> None:
    image = encoded(drawing(ASPIRIN))
    bodies = [
        {"dataframe_split": {"index": [0], "columns": ["id", "image"], "data": [[1, image]]}},
        {"dataframe_records": [{"image": image}]},
        {"instances": [{"image": image}], "params": {"dataset": "molecules"}},
        {"inputs": {"image": [image]}},
    ]
    for body in bodies:
        answer = client.post("/invocations", json=body)
        assert [one["caption"] for one in answer.json()["predictions"]] == [ASPIRIN], answer.text
    unread = client.post("/invocations", json={"instances": [encoded(b"no image")]})
    assert (unread.status_code, unread.json()["predictions"][0]["caption"]) == (200, None)


def wide_png(side_px: int) -> bytes:
    return cv2.imencode(".png", np.full((side_px, side_px), 255, np.uint8))[1].tobytes()


PART = b'--y\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\nbytes\r\n'
WHOLE_FORM = 2 * PART + b"--y--"
BAD: list[tuple[str, dict[str, object], int, str]] = [
    ("/caption", {"files": files(b"no image")}, 422, "no image could be read: not_an_image"),
    ("/caption", {"files": [("image", ("a.png", b"x"))]}, 422, "field 'image' is not known: send files in the field"),
    ("/caption", {"files": [("images", (None, b"a.png"))]}, 422, "field 'images' holds text: send files, as curl does"),
    ("/caption", {"files": files(bytes(50_000_000))}, 413, "the request has 50,000,"),
    ("/caption", {"files": files(bytes(9_000_000))}, 413, "image 0 has 9,000,000 bytes; at most 8,388,608 are read"),
    ("/caption", {"files": files(*[b"x"] * 100)}, 413, "100 images in one request; send at most 10 at a time"),
    ("/caption", {"files": files(wide_png(40_000))}, 422, "no image could be read: too_many_pixels: 40000 x 40000"),
    ("/caption", {"json": {"urls": ["http://127.0.0.1:1/a.png"]}}, 422, "127.0.0.1 is an address inside the network"),
    ("/caption", {"json": {"urls": ["http://localhost/a.png"]}}, 422, "localhost is an address inside the network"),
    ("/caption", {"json": {"urls": ["http://example.org/a.png"]}}, 422, "URLs of example.org are not allowed here"),
    ("/caption", {"json": {"urls": ["file:///etc/passwd"]}}, 422, "a URL must begin with http:// or https://"),
    ("/caption", {"json": {"images": ["%"]}}, 422, "images.0: is not base64"),
    ("/caption", {"json": {"image": "x"}}, 422, "'image' is not known here: send images or urls"),
    (
        "/caption",
        {"json": {"directory": "s3://bucket/a"}},
        422,
        "'directory' is not read by the server: caption a folder",
    ),
    ("/caption", {"json": {"urls": ["s3://bucket/a/"]}}, 422, "a URL must begin with http:// or https://"),
    ("/caption", {"json": {}}, 422, "there is no image in the request"),
    ("/caption", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 422, "the body: Invalid JSON"),
    ("/caption", {"content": b"x"}, 415, "send multipart/form-data or application/json"),
    ("/caption?dataset=maps", {"files": files(b"x")}, 422, "no model for dataset 'maps' here; there are: molecules"),
    ("/invocations", {"json": {"instances": [{"id": 1}]}}, 422, "row 0 has no column 'image'"),
    ("/invocations", {"json": {}}, 422, "send exactly one of dataframe_split"),
    ("/invocations", {"json": {"instances": []}}, 422, "there is no row in the request"),
    (
        "/invocations",
        {"json": {"instances": [""], "params": {"dataset": "maps"}}},
        422,
        "no model for dataset 'maps' here; there are: molecules",
    ),
    ("/invocations", {"json": {"instances": [[]] * 100_000}}, 413, "the JSON has more than 100,000 values"),
    ("/caption", {"json": {"images": [""] * 100_000}}, 413, "the JSON has more than 100,000 values"),
    (
        "/caption",
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=y"}},
        400,
        "Invalid multipart",
    ),
    *(
        (
            "/caption",
            {"content": WHOLE_FORM[:-num_cut], "headers": {"Content-Type": "multipart/form-data; boundary=y"}},
            400,
            "the form is cut off: its last boundary is missing",
        )
        for num_cut in (2, 5, 40, 90)
    ),
    *(
        (
            path,
            {"content": b"x", "headers": {"Content-Type": "application/json", "Content-Encoding": "gzip"}},
            415,
            "content-encoding 'gzip' is not read",
        )
        for path in ("/caption", "/invocations")
    ),
    ("/caption?datset=photos", {"files": files(b"x")}, 422, "'datset' in the address is not known: dataset alone is"),
    ("/nowhere", {}, 404, "there is no /nowhere here"),
]


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    BAD,
    ids=[f"{sentence} {number}" for number, (*_, sentence) in enumerate(BAD)],
)
def test_bad_input_gets_its_status_and_one_sentence(
    client: httpx.Client, path: str, body: dict[str, object], status: int, sentence: str
) -> None:
    answer = client.post(path, **body)  # type: ignore[arg-type]
    assert (answer.status_code, detail(answer)[: len(sentence)]) == (status, sentence)
    assert "\n" not in detail(answer)
    assert client.get("/readyz").status_code == 200


def test_no_key_a_wrong_one_and_a_revoked_one_are_refused(server: Server) -> None:
    keys = ApiKeys(str(server.lake))
    revoked = keys.add("for-a-day")

    def ask(**headers: str) -> httpx.Response:
        return httpx.get(f"{server.url}/version", headers=headers)

    assert ask(Authorization=f"Bearer {revoked}").status_code == 200
    keys.revoke("for-a-day")
    answers = [ask(), ask(Authorization="Bearer guess"), ask(Authorization=f"Bearer {revoked}")]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert [detail(answer)[:16] for answer in answers] == ["no API key: send", "this API key is ", "this API key is "]
    assert httpx.post(f"{server.url}/caption", files=files(bytes(40_000_000))).status_code == 401
    assert httpx.get(f"{server.url}/metrics").status_code == 200


def test_a_key_that_asks_too_often_is_told_when_to_come_again(server: Server) -> None:
    key = ApiKeys(str(server.lake)).add("hasty")
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}) as hasty:
        answers = (hasty.get("/version") for _ in range(302))
        refused = next(answer for answer in answers if answer.status_code != 200)
    assert (refused.status_code, detail(refused)[:39]) == (429, "more than 150 requests in a minute: sen")
    assert 1 <= int(refused.headers["retry-after"]) <= 60


def eventually(is_true: Callable[[], bool], within_s: float = 240) -> None:
    until = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.02)


def num_read(server: Server) -> float:
    return server.metric("captionlake_images_total")


def test_a_full_queue_refuses_and_a_client_that_hangs_up_frees_it(server: Server, client: httpx.Client) -> None:
    before = num_read(server)
    impatient = HTTPConnection(urlsplit(server.url).netloc)
    request = client.build_request("POST", "/caption", files=files(*[drawing(CAFFEINE)] * 10))
    impatient.request("POST", "/caption", request.read(), dict(request.headers))
    eventually(lambda: server.metric("captionlake_queued_images") >= 6)
    refused = client.post("/caption", files=files(*[drawing(ASPIRIN)] * 10))
    assert (refused.status_code, detail(refused)[-36:]) == (429, "images wait already: try again later")
    assert int(refused.headers["retry-after"]) >= 1
    impatient.close()
    eventually(lambda: server.metric("captionlake_queued_images") == 0, within_s=30)
    assert client.post("/caption", files=files(drawing(ASPIRIN))).status_code == 200
    assert num_read(server) - before < 8


def test_a_command_sends_a_folder_and_writes_a_csv_file(server: Server, key: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "aspirin.PNG").write_bytes(drawing(ASPIRIN))
    (tmp_path / "in" / "bad.png").write_bytes(b"no image")
    (tmp_path / "in" / "large.png").write_bytes(bytes(9_000_000))
    (tmp_path / "in" / "notes.txt").write_text("not sent")
    output = tmp_path / "captions.csv"
    command = ["-m", "jobs.send_folder", str(tmp_path / "in"), "--url", server.url, "--output", str(output)]
    environment = {**os.environ, "CAPTIONLAKE_API_KEY": key}
    sent = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert sent.returncode == 0, sent.stderr
    header, bad, aspirin, large = output.read_text().splitlines()
    assert header == "file,caption,confidence,is_valid,reason,model_version"
    assert bad.startswith("bad.png,,,,not_an_image")
    assert aspirin.startswith(f'deep/aspirin.PNG,"{ASPIRIN}",0.')
    assert large.startswith("large.png,,,,")
    refused = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "ServerRefusedError" in refused.stderr
    assert "answers 401: no API key" in refused.stderr


@pytest.mark.slow
def test_a_process_that_hangs_costs_its_request_alone(server: Server, client: httpx.Client) -> None:
    server.wait_until_ready()  # as when this test runs without the others
    (process,) = server.captioning_processes()
    os.kill(process, signal.SIGSTOP)
    late = client.post("/caption", files=files(drawing(ASPIRIN)))
    assert (late.status_code, detail(late)[:17]) == (504, f"no answer in {DEADLINE_S} s")
    eventually(lambda: server.captioning_processes() not in ([process], []))
    server.wait_until_ready()
    assert client.post("/caption", files=files(drawing(ASPIRIN))).status_code == 200


def test_another_current_model_takes_over_without_a_lost_request(server: Server, client: httpx.Client) -> None:
    second = server.lake / "checkpoints" / "second"
    storage = StorageSettings(root=str(server.lake), catalog=None, schema_name=None)
    shutil.copytree(PRETRAINED / "molecules", second)
    versions: list[str] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.2):
            answer = client.post("/caption", files=files(b"no image"))
            versions.append(answer.json()["captions"][0]["model_version"])

    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(ask)
        make_current(storage, "second")
        eventually(lambda: "second" in versions or asking.done(), within_s=400)
        ended.set()
        asking.result()
    assert versions[0].startswith("pretrained-")
    assert set(versions) == {versions[0], "second"}
    eventually(lambda: len(server.captioning_processes()) == 1)
    (server.lake / "checkpoints" / "broken").mkdir()
    (server.lake / "checkpoints" / "broken" / "config.json").write_text("{}")
    make_current(storage, "broken")
    eventually(lambda: server.metric("captionlake_model_changes_total") == 2)
    assert client.get("/version").json()["models"] == {"molecules": "second"}
    assert "the models stay as they are" in server.faults.read_text()


def test_the_log_has_a_line_of_json_for_each_request_without_keys_and_images(server: Server, key: str) -> None:
    text = server.output.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line["status"] for line in lines} >= {200, 401, 404, 413, 422, 429, 499}
    assert {line["key"] for line in lines} == {None, "tests", "hasty", "for-a-day"}
    assert any(line["images"] == 3 and line["dataset"] == "molecules" for line in lines)
    assert key not in text
    assert encoded(drawing(ASPIRIN))[:40] not in text
    assert key not in server.faults.read_text() + "".join(path.read_text() for path in server.lake.rglob("*.log"))
    keys_file = ApiKeys(str(server.lake)).path
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600
    assert key not in keys_file.read_text()


def test_told_to_end_it_answers_what_it_was_asked_and_leaves_no_process(server: Server, client: httpx.Client) -> None:
    processes = server.captioning_processes()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client.post, "/caption", files=files(drawing(CAFFEINE), drawing(ASPIRIN)))
        eventually(lambda: server.metric("captionlake_requests_in_progress") >= 2)
        server.process.send_signal(signal.SIGTERM)
        assert [one["caption"] for one in asked.result().json()["captions"]] == [CAFFEINE, ASPIRIN]
    assert server.process.wait(240) == 0
    eventually(lambda: not any(Path(f"/proc/{process}").exists() for process in processes))
