"""Middleware of every request: limits on its body and on those of all, a log line in JSON, and metrics.

The line holds neither images, nor keys, nor the query, which may hold a key by mistake.
"""

import asyncio
import json
import re
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from python_multipart.multipart import parse_options_header
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.serving.metrics import Metrics
from lib.serving.refusals import RefusedRequestError

DRAIN_BYTES, DRAIN_S = 1 << 28, 10.0  # of a body that is refused: its client reads the answer only when it has sent all
ENDPOINTS = {
    "/caption",
    "/invocations",
    "/version",
    "/healthz",
    "/readyz",
    "/ping",
    "/metrics",
    "/docs",
    "/openapi.json",
}
FORM = b"multipart/form-data"
UTF_8 = {b"utf-8", b"utf8", b"us-ascii", b"ascii"}  # what a form may call its encoding; the last two are parts of it
QUIET = {"/healthz", "/readyz", "/ping", "/metrics"}  # asked every few seconds: logged only when they fail


@dataclass
class BodyLimits:
    """How many bytes one request may have, and all that are not yet answered together, and how long a body may take."""

    of_one: int
    of_all: int
    within_s: float  # of a request's beginning its body must have come
    num_held: int = 0  # by requests that are not yet answered


class RequestLog:
    """ASGI middleware around the whole application.

    `limits_of` gives the limits of a request before its body is read, or raises RefusedRequestError.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, limits_of: Callable[[Scope], BodyLimits], write: Callable[[str], None]
    ) -> None:
        self._app, self._metrics, self._limits_of, self._write = app, metrics, limits_of, write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._limits_of)
        scope.setdefault("state", {})["hold"] = exchange.hold  # for what a request brings that is not in its body
        # FastAPI has no HEAD: it is answered as GET, and uvicorn, which keeps the request as it came, sends no body.
        asked: Scope = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        self._metrics.requests_in_progress.inc()
        try:
            await self._app(asked, exchange.receive, exchange.send)
        except Exception:
            exchange.status = 500  # answered outside
            raise
        finally:
            self._metrics.requests_in_progress.dec()
            exchange.release()
            took_s = time.monotonic() - exchange.started
            endpoint = scope["path"] if scope["path"] in ENDPOINTS else "other"
            self._metrics.requests.labels(endpoint, exchange.status).inc()
            self._metrics.request_seconds.labels(endpoint).observe(took_s)
            if endpoint not in QUIET or exchange.status >= 400:
                self._write(json.dumps(exchange.as_line(took_s)))


class _Exchange:
    """One request and its answer, as they pass."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits_of: Callable[[Scope], BodyLimits]) -> None:
        self._scope, self._receive, self._send, self._limits_of = scope, receive, send, limits_of
        self.started = time.monotonic()
        self.status = 499  # what proxies log of clients that hang up
        self._num_bytes = self._num_held = 0
        self._has_ended = False
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        self._declared = int(headers.get(b"content-length", "0") or 0)
        kind, options = parse_options_header(headers.get(b"content-type", ""))
        self._is_utf_8 = kind != FORM or options.get(b"charset", b"utf-8").lower() in UTF_8
        given = headers.get(b"x-request-id", "")
        self.request_id = given if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", given) else uuid.uuid4().hex

    @cached_property
    def _limits(self) -> BodyLimits:
        return self._limits_of(self._scope)

    async def receive(self) -> Message:
        """The next part of the body. Raises RefusedRequestError beyond the limits, or for a form not in UTF-8."""
        if self._declared > self._limits.of_one:
            raise self._too_large(self._declared)
        if not self._is_utf_8:  # Starlette would decode it with any of Python's codecs, some of which fail
            raise RefusedRequestError(400, "the form is not in UTF-8: send it without a charset")
        left_s = self.started + self._limits.within_s - time.monotonic()
        try:
            async with asyncio.timeout(None if self._has_ended else left_s):  # after the body: the client hangs up
                message = await self._next()
        except TimeoutError:
            raise RefusedRequestError(
                408, f"the request's body did not come within {self._limits.within_s:g} s: send it again"
            ) from None
        if self._num_bytes > self._limits.of_one:
            raise self._too_large(self._num_bytes)
        self.hold(len(message.get("body", b"")))
        return message

    def hold(self, num_bytes: int) -> None:
        """Count these bytes until the request is answered. Raises RefusedRequestError if all hold too many."""
        if self._limits.num_held + num_bytes > self._limits.of_all:
            raise RefusedRequestError(429, "the server holds too many bytes of other requests: try again later", 5)
        self._limits.num_held += num_bytes
        self._num_held += num_bytes

    def release(self) -> None:
        """Count none of this request's bytes any longer."""
        if self._num_held:
            self._limits.num_held -= self._num_held
        self._num_held = 0

    async def send(self, message: Message) -> None:
        """Send a part of the answer, the first when all of the body was received."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", []), (b"x-request-id", self.request_id.encode())]
            if not self._has_ended:
                self.release()  # refused: nobody reads on
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    while not self._has_ended and self._num_bytes < DRAIN_BYTES:
                        await self._next()
            message["headers"] = headers if self._has_ended else [*headers, (b"connection", b"close")]
        await self._send(message)

    def as_line(self, took_s: float) -> dict[str, object]:
        """What is logged."""
        state = self._scope.get("state", {})
        client = self._scope.get("client") or ("",)
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": self.request_id,
            "client": client[0],
            "key": state.get("key_name"),
            "method": self._scope["method"],
            "path": self._scope["path"][:200],
            "status": self.status,
            "seconds": round(took_s, 4),
            "bytes": self._num_bytes,
            "dataset": state.get("dataset"),
            "images": state.get("num_images"),
            "error": state.get("error"),
        }

    async def _next(self) -> Message:
        message = await self._receive()
        self._num_bytes += len(message.get("body", b""))
        self._has_ended |= message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    def _too_large(self, num_bytes: int) -> RefusedRequestError:
        return RefusedRequestError(
            413, f"the request has {num_bytes:,} bytes or more; at most {self._limits.of_one:,} are read"
        )
