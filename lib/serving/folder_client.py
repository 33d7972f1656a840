"""Sends the images of a folder to a server, some at a time, and writes its captions to a CSV file."""

import csv
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import httpx

from lib.errors import CaptionlakeError, MissingInputError, SettingsError
from lib.fingerprints import fingerprint
from lib.hidden_files import is_hidden
from lib.progress import show_progress
from model.whole_writes import written_whole

logger = logging.getLogger(__name__)

COLUMNS = ("file", "caption", "confidence", "is_valid", "reason", "model_version")
SECOND = "second_caption"  # a further column where the server has a second captioner
TIMEOUT_S = 300.0
TRIES = 10  # over some three minutes: a server that is exchanged for a newer one is back by then
TRY_AGAIN = (429, 502, 503)  # later: the server is busy, is being started, or is exchanged
LATE, TRIES_IF_LATE = (408, 504), 2  # the line is slow, many wait, or the image takes too long
OF_THE_IMAGE = (413, 500, *LATE)  # no other image need have this answer


class ServerRefusedError(CaptionlakeError):
    """Raised when the server cannot be reached or does not answer with captions."""


def images_below(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files with a suffix of images, in all folders below, hidden ones left out. Raises MissingInputError if none."""
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and path.is_file() and not is_hidden(str(path.relative_to(folder)))
    )
    if not found:
        raise MissingInputError(f"no image in {folder}: files that end with {', '.join(suffixes)} are sent")
    return found


def send_folder(
    folder: Path, url: str, dataset: str, key: str | None, output: Path, suffixes: Sequence[str], num_at_once: int
) -> int:
    """Write a row for each image, in the order of their paths; return how many have no caption.

    If it ends early, the rows so far are beside `output`, in a file that ends with .part; images that have a caption
    there and are no newer than it are not sent again. Raises SettingsError if `output` cannot be written or `key` is
    none, MissingInputError if there is no image, ServerRefusedError if there is no answer.
    """
    _check_output(output)
    images = images_below(folder, suffixes)
    asked = fingerprint(str(folder.resolve()), url, dataset)  # captions of another folder or model are not these
    part = output.with_name(f"{output.name}.{asked}.part")
    with (
        httpx.Client(base_url=url, headers=_headers(key), params={"dataset": dataset}, timeout=TIMEOUT_S) as client,
        written_whole(output) as written,
    ):
        try:
            num_unread = _write_rows(written, client, folder, images, num_at_once, _captioned_before(part, folder))
        except BaseException as error:
            if _num_bytes(written) > _num_bytes(part):  # else a call before came further
                written.replace(part)
            if part.is_file() and isinstance(error, ServerRefusedError):
                raise ServerRefusedError(f"{error}; the captions so far are in {part}") from None
            raise
    part.unlink(missing_ok=True)  # of a run before
    return num_unread


def _num_bytes(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _check_output(output: Path) -> None:
    """Raises SettingsError if the file could not be written when all images are captioned."""
    if output.is_dir():
        raise SettingsError(f"--output {output} is a folder: name a CSV file")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output.parent).close()
    except OSError as error:
        raise SettingsError(f"--output {output} cannot be written ({error.strerror}): name another file") from None


def _headers(key: str | None) -> dict[str, str]:
    """The headers of every request. Raises SettingsError, without the key, if it cannot stand in a header."""
    key = (key or "").strip()
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise SettingsError(
            "CAPTIONLAKE_API_KEY has blanks or characters that no API key has: set it to the key as it was printed"
        )
    return {"Authorization": f"Bearer {key}"} if key else {}


def _captioned_before(part: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """The answers for images that have a caption in the file of a call that ended early, by their paths.

    An image that was changed since has none.
    """
    if not part.is_file():
        return {}
    written_at = part.stat().st_mtime_ns

    def is_kept(row: dict[str, Any]) -> bool:
        image = folder / (row.get("file") or "")
        return bool(row.get("caption")) and image.is_file() and image.stat().st_mtime_ns <= written_at

    with part.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(filter(is_kept, csv.DictReader(file)))
    logger.info("%s: %d captions of a call before are kept", part, len(rows))
    return {row["file"]: row | {"second": {"caption": row[SECOND]} if SECOND in row else None} for row in rows}


def _write_rows(
    written: Path,
    client: httpx.Client,
    folder: Path,
    images: Sequence[Path],
    num_at_once: int,
    known: dict[str, dict[str, Any]],
) -> int:
    """Write the images' rows; return how many have no caption. Raises ServerRefusedError."""

    def answer_for(path: Path) -> dict[str, Any]:
        return known.get(path.relative_to(folder).as_posix()) or _captioned(client, path)

    num_unread = 0
    with (
        ThreadPoolExecutor(num_at_once) as threads,
        show_progress("send_folder", len(images)) as line,
        written.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,  # names may be any bytes
    ):
        try:
            _reach(client)
            answers = threads.map(answer_for, images)
            has_second, answers = _has_second(answers)
            rows = csv.DictWriter(file, (*COLUMNS, SECOND) if has_second else COLUMNS, extrasaction="ignore")
            rows.writeheader()
            for image, answer in zip(images, answers, strict=True):
                second = (answer.get("second") or {}).get("caption")
                rows.writerow({**answer, "file": image.relative_to(folder).as_posix(), SECOND: second})
                num_unread += answer["caption"] is None
                line.advance()
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return num_unread


def _has_second(answers: Iterator[dict[str, Any]]) -> tuple[bool, Iterator[dict[str, Any]]]:
    """Whether the server has a second captioner, which its first caption or reason shows; and all answers again."""
    first = []
    for answer in answers:
        first.append(answer)
        if answer.get("model_version"):
            return answer.get("second") is not None, chain(first, answers)
    return False, iter(first)


def _captioned(client: httpx.Client, path: Path) -> dict[str, Any]:
    """The server's answer for one image. Raises ServerRefusedError."""
    try:
        image = path.read_bytes()
    except OSError as error:  # this image alone
        return dict.fromkeys(COLUMNS) | {"reason": f"unreadable_file: {error.strerror}"}
    answer = _answer(client, path.suffix, image)
    kind = answer.headers.get("content-type", "").partition(";")[0].strip()  # gateways add a charset
    body = answer.json() if kind == "application/json" else {}
    if "captions" in body:
        return dict(body["captions"][0])
    detail = body.get("detail", "an answer without JSON")
    if answer.status_code in OF_THE_IMAGE:
        return dict.fromkeys(COLUMNS) | {"reason": f"status {answer.status_code}: {detail}"}
    raise ServerRefusedError(f"{client.base_url} answers {answer.status_code}: {detail}")


def _reach(client: httpx.Client) -> None:
    """Raises ServerRefusedError at once if no server listens there; later it may be exchanged for a newer one."""
    try:
        client.get("/healthz")
    except httpx.TransportError as error:
        raise ServerRefusedError(f"{client.base_url} cannot be reached: {error}") from None


def _answer(client: httpx.Client, suffix: str, image: bytes) -> httpx.Response:
    """The answer for one image, asked again while the server is busy or away. Raises ServerRefusedError."""
    answer: httpx.Response | Exception
    for number in range(1, TRIES + 1):
        asked_to_wait = ""
        try:
            answer = client.post("/caption", files={"images": (f"image{suffix}", image)})
        except httpx.TransportError as error:
            answer = error
            if isinstance(error, httpx.TimeoutException):
                break
        else:
            if answer.status_code not in TRY_AGAIN and (answer.status_code not in LATE or number >= TRIES_IF_LATE):
                return answer
            asked_to_wait = answer.headers.get("retry-after", "")
        if number < TRIES:
            time.sleep(seconds_to_wait(number, asked_to_wait))
    if isinstance(answer, Exception):
        raise ServerRefusedError(f"{client.base_url} cannot be reached: {answer!r}")
    return answer


def seconds_to_wait(number: int, retry_after: str) -> float:
    """How long to wait after the try of that number, from 1: at least as long as the server asks in seconds.

    A shorter time than ours is not taken: all tries together must outlast a server that is exchanged.
    """
    asked_s = min(float(retry_after), TIMEOUT_S) if retry_after.isdecimal() else 0.0  # it may be a date, too
    return max(min(2.0 ** (number - 1), 30.0), asked_s)
