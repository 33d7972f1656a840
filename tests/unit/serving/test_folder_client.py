"""Folders sent to a server, whatever their files are called: `pytest tests/unit/serving/test_folder_client.py`."""

import argparse
import csv
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from lib.errors import SettingsError
from lib.fingerprints import fingerprint
from lib.job_entry import whole_number
from lib.serving.folder_client import TRIES, ServerRefusedError, seconds_to_wait, send_folder

CAPTION = {"caption": "a dog", "confidence": 0.5, "is_valid": True, "reason": None, "model_version": "m"}
SECOND = {"caption": "a wolf", "captioner": "nearest_neighbours", "reason": None}


class AnyServer(BaseHTTPRequestHandler):
    """Answers every request with a caption; one for dataset photos with a second one."""

    def do_POST(self) -> None:
        answer = {"captions": [CAPTION | {"second": SECOND if "photos" in self.path else None}]}
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), AnyServer) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_name_of_any_bytes_is_sent_and_an_image_that_may_not_be_read_costs_itself_alone(url: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, user = Path(name), os.geteuid()
        folder.chmod(0o777)
        for image in (b"caf\xe9.png", b"line\nbreak.png", b"locked.png"):
            Path(os.fsdecode(os.path.join(os.fsencode(folder), image))).write_bytes(b"content")
        (folder / "locked.png").chmod(0)
        try:
            os.seteuid(65_534 if user == 0 else user)  # root may read everything
            num_unread = send_folder(folder, url, "molecules", None, folder / "captions.csv", (".png",), 2)
        finally:
            os.seteuid(user)
        with (folder / "captions.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = {os.fsencode(row["file"]): row["caption"] or row["reason"] for row in csv.DictReader(file)}
    locked = "unreadable_file: Permission denied"
    assert rows == {b"caf\xe9.png": "a dog", b"line\nbreak.png": "a dog", b"locked.png": locked}
    assert num_unread == 1


def test_what_ingest_passes_over_is_not_sent_and_nothing_else(url: str, tmp_path: Path) -> None:
    for name in ("a.png", "__b.png", ".c.png", "@eaDir/a.png", "__MACOSX/a.png", "lost+found/d.png", "e__/f.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
    send_folder(tmp_path, url, "molecules", None, tmp_path / "captions.csv", (".png",), 2)
    with (tmp_path / "captions.csv").open(newline="") as file:
        assert sorted(row["file"] for row in csv.DictReader(file)) == ["__b.png", "a.png", "e__/f.png"]


@pytest.mark.parametrize("dataset", ["photos", "molecules"])
def test_a_second_caption_is_a_column_where_the_server_has_one(url: str, tmp_path: Path, dataset: str) -> None:
    (tmp_path / "a.png").symlink_to("/proc/self/mem")  # cannot be read, which says nothing of the server
    for name in ("b.png", "c.png"):
        (tmp_path / name).write_bytes(b"content")
    assert send_folder(tmp_path, url, dataset, None, tmp_path / "captions.csv", (".png",), 2) == 1
    header, unread, *rows = (tmp_path / "captions.csv").read_text().splitlines()
    columns, end = ("reason,model_version,second_caption", ",m,a wolf") if dataset == "photos" else ("version", ",m")
    assert header.endswith(columns)
    assert unread.startswith("a.png,,,,unreadable_file")
    assert [row for row in rows if row.endswith(end)] == rows
    assert len(rows) == 2


def rows_of_three(server_class: type[AnyServer], folder: Path) -> list[dict[str, str]]:
    """The rows that come of a.png, b.png and c.png, one of which is not captioned."""
    for name in "abc":
        (folder / f"{name}.png").write_bytes(f"content of {name}".encode())
    with ThreadingHTTPServer(("127.0.0.1", 0), server_class) as server:
        Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            assert send_folder(folder, url, "molecules", None, folder / "captions.csv", (".png",), 1) == 1
        finally:
            server.shutdown()
    return list(csv.DictReader((folder / "captions.csv").open()))


class RestlessServer(AnyServer):
    """Fails at b.png for ever; the first request for a.png meets no answer, the second a server that is busy."""

    num_asked_for_a: ClassVar[int] = 0

    def do_POST(self) -> None:
        image = self.rfile.read(int(self.headers["content-length"]))
        if b"content of b" in image:
            self.send_error(504)
            return
        if b"content of a" in image:
            RestlessServer.num_asked_for_a += 1
            if self.num_asked_for_a == 1:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if self.num_asked_for_a == 2:
                self.send_response(503)
                self.send_header("retry-after", "Sun, 29 Nov 2026 12:00:00 GMT")
                self.end_headers()
                return
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"captions": [CAPTION]}).encode())


def test_a_server_that_is_away_for_a_moment_loses_no_image_and_one_that_fails_at_an_image_only_that(
    tmp_path: Path,
) -> None:
    rows = rows_of_three(RestlessServer, tmp_path)
    assert [(row["file"], row["caption"]) for row in rows] == [("a.png", "a dog"), ("b.png", ""), ("c.png", "a dog")]
    assert "504" in rows[1]["reason"]


class SlowServer(AnyServer):
    """Never gets all of b.png in time; answers as a gateway before it does, with a charset."""

    def do_POST(self) -> None:
        is_late = b"content of b" in self.rfile.read(int(self.headers["content-length"]))
        self.send_response(408 if is_late else 200)
        self.send_header("content-type", "application/json; charset=utf-8")
        self.end_headers()
        answer = {"detail": "the request's body did not come within 60 s"} if is_late else {"captions": [CAPTION]}
        self.wfile.write(json.dumps(answer).encode())


def test_an_image_that_does_not_arrive_in_time_costs_itself_alone(tmp_path: Path) -> None:
    rows = rows_of_three(SlowServer, tmp_path)
    assert [row["caption"] or row["reason"] for row in rows] == [
        "a dog",
        "status 408: the request's body did not come within 60 s",
        "a dog",
    ]


class RefusingServer(AnyServer):
    """Captions a.png once, and b.png when it is asked for the second time."""

    asked_for: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        image = self.rfile.read(int(self.headers["content-length"]))
        name = "a" if b"content of a" in image else "b"
        self.asked_for.append(name)
        if self.asked_for in (["a"], ["a", "b", "b"]):
            answer, status = {"captions": [CAPTION]}, 200
        else:
            answer, status = {"detail": f"no captions of {len(image):,} bytes"}, 401
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


def part_of(output: Path, folder: Path, url: str, dataset: str = "molecules") -> Path:
    return output.with_name(f"{output.name}.{fingerprint(str(folder.resolve()), url, dataset)}.part")


def test_captions_of_another_folder_or_dataset_and_of_images_changed_since_are_not_kept(
    url: str, tmp_path: Path
) -> None:
    rows = "file,caption,confidence,is_valid,reason,model_version\na.png,old,1,True,,m0\nb.png,old,1,True,,m0\n"
    output = tmp_path / "captions.csv"
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in "ab":
            (tmp_path / folder / f"{name}.png").write_bytes(b"content")
    part = part_of(output, tmp_path / "one", url)

    def captions(folder: str, dataset: str) -> list[str]:
        part.write_text(rows)
        later = part.stat().st_mtime + 5
        os.utime(tmp_path / "one" / "b.png", (later, later))
        send_folder(tmp_path / folder, url, dataset, None, output, (".png",), 1)
        with output.open(newline="") as file:
            return [row["caption"] for row in csv.DictReader(file)]

    assert captions("one", "molecules") == ["old", "a dog"]
    assert captions("two", "molecules") == ["a dog", "a dog"]
    assert captions("one", "photos") == ["a dog", "a dog"]


def test_the_rows_so_far_are_kept_when_the_server_refuses_to_go_on_and_not_sent_again(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(f"content of {name}".encode())
    output = tmp_path / "captions.csv"
    with ThreadingHTTPServer(("127.0.0.1", 0), RefusingServer) as server:
        Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        part = part_of(output, tmp_path, url)
        try:
            with pytest.raises(ServerRefusedError, match=rf"answers 401: .*; the captions so far are in {part}"):
                send_folder(tmp_path, url, "molecules", None, output, (".png",), 1)
            assert [(row["file"], row["caption"]) for row in csv.DictReader(part.open())] == [("a.png", "a dog")]
            assert not output.exists()
            assert send_folder(tmp_path, url, "molecules", None, output, (".png",), 1) == 0
        finally:
            server.shutdown()
    assert [(row["file"], row["caption"]) for row in csv.DictReader(output.open())] == [
        ("a.png", "a dog"),
        ("b.png", "a dog"),
    ]
    assert RefusingServer.asked_for == ["a", "b", "b"]
    assert not part.exists()


class DeafServer(RefusingServer):
    """Refuses every image."""

    asked_for: ClassVar[list[str]] = ["nobody"]


def test_the_rows_of_a_call_that_came_further_are_kept(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(f"content of {name}".encode())
    so_far = "file,caption,confidence,is_valid,reason,model_version\na.png,,,,status 504,\nb.png,a dog,0.9,True,,m1\n"
    with ThreadingHTTPServer(("127.0.0.1", 0), DeafServer) as server:
        Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        part = part_of(tmp_path / "captions.csv", tmp_path, url)
        part.write_text(so_far)
        try:
            with pytest.raises(ServerRefusedError, match=rf"answers 401: .*; the captions so far are in {part}"):
                send_folder(tmp_path, url, "molecules", None, tmp_path / "captions.csv", (".png",), 1)
        finally:
            server.shutdown()
    assert part.read_text() == so_far
    assert DeafServer.asked_for == ["nobody", "a"]


def test_a_server_that_asks_to_come_again_soon_does_not_make_us_give_up_sooner() -> None:
    assert sum(seconds_to_wait(number, "5") for number in range(1, TRIES + 1)) >= 180
    assert [seconds_to_wait(1, asked) for asked in ("7", "", "Sun, 29 Nov 2026 12:00:00 GMT")] == [7, 1, 1]
    assert seconds_to_wait(1, "9" * 400) == 300


@pytest.mark.parametrize(
    ("output", "said"),
    [(".", "is a folder: name a CSV file"), ("file/captions.csv", r"cannot be written \(.*\): name another file")],
)
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_sent(
    tmp_path: Path, output: str, said: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=rf"--output .* {said}"):
        send_folder(tmp_path, "http://127.0.0.1:1", "molecules", None, tmp_path / output, (".png",), 1)


@pytest.mark.parametrize("key", ["cl_secret\rkey", "cl_sécret", "cl_secret key", "cl_secret\x00", "cl_\udcffsecret"])
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(tmp_path: Path, key: str) -> None:
    (tmp_path / "a.png").write_bytes(b"content")
    with pytest.raises(SettingsError, match="has blanks or characters that no API key has") as refused:
        send_folder(tmp_path, "http://127.0.0.1:1", "molecules", key, tmp_path / "captions.csv", (".png",), 1)
    assert "cret" not in str(refused.value)


def test_what_stands_around_a_key_is_not_sent(tmp_path: Path, url: str) -> None:
    (tmp_path / "a.png").write_bytes(b"content")
    assert send_folder(tmp_path, url, "molecules", " cl_key\r\n", tmp_path / "captions.csv", (".png",), 1) == 0


@pytest.mark.parametrize("text", ["0", "-1", "two", ""])
def test_requests_at_a_time_are_counted_from_one(text: str) -> None:
    assert whole_number("3") == 3
    with pytest.raises(argparse.ArgumentTypeError, match="must be a whole number from 1"):
        whole_number(text)
