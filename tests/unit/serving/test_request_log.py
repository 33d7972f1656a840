"""Limits on the bytes of requests: `pytest tests/unit/serving/test_request_log.py`."""

import asyncio
import json

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from lib.serving.error_answers import answer_errors_in_one_sentence
from lib.serving.metrics import Metrics
from lib.serving.request_log import BodyLimits, RequestLog
from tests.unit.serving.odd_forms import ODD_CHARSETS, odd_form


def logged_app() -> tuple[FastAPI, BodyLimits, list[dict[str, object]]]:
    """An app without routes, its limits, and the lines that are logged of its requests."""
    lines: list[dict[str, object]] = []
    app = FastAPI()
    limits = BodyLimits(of_one=2_000, of_all=2_000, within_s=60)
    app.add_middleware(
        RequestLog, metrics=Metrics(), limits_of=lambda _: limits, write=lambda line: lines.append(json.loads(line))
    )
    answer_errors_in_one_sentence(app)
    return app, limits, lines


def test_requests_that_are_not_answered_may_hold_so_many_bytes_together() -> None:
    async def ask_together() -> tuple[list[int], int, str]:
        app, may_answer, limits = FastAPI(), asyncio.Event(), BodyLimits(of_one=80, of_all=100, within_s=60)
        app.add_middleware(RequestLog, metrics=Metrics(), limits_of=lambda _: limits, write=lambda _: None)
        answer_errors_in_one_sentence(app)

        @app.post("/caption")
        async def caption(request: Request) -> int:
            num_bytes = len(await request.body())
            request.state.hold(10)  # as for an image that is fetched
            await may_answer.wait()
            return num_bytes

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            waiting = asyncio.create_task(client.post("/caption", content=bytes(60)))
            while limits.num_held < 70:
                await asyncio.sleep(0.001)
            refused = await client.post("/caption", content=bytes(31))
            may_answer.set()
            statuses = [(await waiting).status_code, refused.status_code]
            statuses.append((await client.post("/caption", content=bytes(70))).status_code)
        return statuses, limits.num_held, refused.headers["retry-after"]

    assert asyncio.run(ask_together()) == ([200, 429, 200], 0, "5")


def test_head_is_answered_as_get_and_logged_as_it_came() -> None:
    app, _, lines = logged_app()

    @app.get("/version")
    async def version(request: Request) -> str:
        request.state.key_name = "anna"
        return "0.2.0"

    @app.post("/caption")
    async def caption() -> None:
        """Takes no GET."""

    async def ask() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return [(await client.head(path)).status_code for path in ("/version", "/caption", "/nowhere")]

    assert asyncio.run(ask()) == [200, 405, 404]
    assert [(line["method"], line["key"]) for line in lines] == [("HEAD", "anna"), ("HEAD", None), ("HEAD", None)]


@pytest.mark.parametrize(
    ("sent", "is_kept"),
    [
        (b"run-7_b", True),
        (b"", False),
        (b"two words", False),
        ("caf\u00e9".encode("latin-1"), False),
        (b"x" * 65, False),
    ],
)
def test_the_clients_request_id_is_kept_if_it_can_stand_in_a_log(sent: bytes, is_kept: bool) -> None:
    app, _, lines = logged_app()
    answer = TestClient(app).get("/version", headers={b"X-Request-Id": sent})
    (line,) = lines
    assert answer.headers["x-request-id"] == line["request_id"]
    assert (line["request_id"] == sent.decode("latin-1")) == is_kept
    assert line["request_id"]


def test_a_client_that_hangs_up_while_it_sends_is_no_fault_of_the_server() -> None:
    app, limits, lines = logged_app()

    @app.post("/caption")
    async def caption(request: Request) -> int:
        return len(await request.body())

    parts = iter(({"type": "http.request", "body": b"x" * 9, "more_body": True}, {"type": "http.disconnect"}))

    async def receive() -> dict[str, object]:
        return next(parts)

    async def send(_: object) -> None:
        """Nobody listens."""

    headers = [(b"content-length", b"1000")]
    scope = {"type": "http", "method": "POST", "path": "/caption", "query_string": b"", "headers": headers}
    asyncio.run(app({**scope, "http_version": "1.1", "client": ("127.0.0.1", 1)}, receive, send))
    assert [(line["status"], line["bytes"], line["error"]) for line in lines] == [(499, 9, "the client hung up")]
    assert limits.num_held == 0


def test_a_body_that_never_ends_is_refused_in_time_and_holds_nothing_while_it_is_waited_for() -> None:
    limits, held_at_refusal = BodyLimits(of_one=2_000, of_all=2_000, within_s=0.05), []
    app = FastAPI()
    app.add_middleware(RequestLog, metrics=Metrics(), limits_of=lambda _: limits, write=lambda _: None)
    answer_errors_in_one_sentence(app)
    sent: list[dict[str, object]] = []

    @app.post("/caption")
    async def caption(request: Request) -> int:
        return len(await request.body())

    async def ask() -> None:
        parts = iter([{"type": "http.request", "body": b"x" * 9, "more_body": True}])
        is_refused = asyncio.Event()

        async def receive() -> dict[str, object]:
            if part := next(parts, None):
                return part
            try:
                await is_refused.wait()
            except asyncio.CancelledError:  # the time is over
                is_refused.set()
                raise
            held_at_refusal.append(limits.num_held)
            return {"type": "http.disconnect"}

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/caption", "query_string": b"", "headers": []}
        await app({**scope, "http_version": "1.1", "client": ("127.0.0.1", 1)}, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"]) == {"detail": "the request's body did not come within 0.05 s: send it again"}
    assert held_at_refusal == [0]


@pytest.mark.parametrize("charset", [*ODD_CHARSETS, "UTF-8", '"utf-8"'])
def test_a_form_in_another_encoding_is_refused_in_one_sentence(charset: str) -> None:
    app, limits = FastAPI(), BodyLimits(of_one=2_000, of_all=2_000, within_s=60)
    app.add_middleware(RequestLog, metrics=Metrics(), limits_of=lambda _: limits, write=lambda _: None)
    answer_errors_in_one_sentence(app)

    @app.post("/caption")
    async def caption(request: Request) -> list[str]:
        async with request.form() as form:
            return [str(value) for value in form.getlist("images")]

    kind = {"content-type": f"multipart/form-data; boundary=b; charset={charset}"}
    answer = TestClient(app).post("/caption", content=odd_form("images"), headers=kind)
    if charset in ODD_CHARSETS:
        said = {"detail": "the form is not in UTF-8: send it without a charset"}
        assert (answer.status_code, answer.json()) == (400, said)
    else:
        assert (answer.status_code, answer.json()) == (200, ["\\ud800 +2AA-"])
