"""The server: uvicorn around the application, from the first connection to an end that loses no request."""

import asyncio
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from lib.errors import SettingsError
from lib.sections.serving import ServingSettings
from lib.serving.api_keys import ApiKeys
from lib.serving.app import make_app
from lib.serving.metrics import Metrics
from lib.serving.service import CaptionService
from lib.settings import Settings

logger = logging.getLogger(__name__)

KEEP_ALIVE_S = 65  # longer than the 60 s of common proxies, which would send into closed connections


def serve(settings: Settings, overrides: Sequence[str], conf: str | None) -> None:
    """Answer requests until the process is told to end.

    `overrides` and `conf` are those that `settings` were made with: each dataset has settings of its own.
    Raises SettingsError, MissingInputError, RuntimeMissingError if it cannot start.
    """
    keys = ApiKeys(settings.storage.root)
    requires_key = _requires_key(settings.serving)
    _check(settings.serving, keys, requires_key)
    metrics = Metrics()
    service = CaptionService(settings, overrides, conf, metrics)
    faults: list[Exception] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        """Answer /healthz at once, load the models meanwhile, and end their processes last."""

        async def load_and_follow() -> None:
            try:
                await service.start()
            except Exception as error:
                faults.append(error)
                server.should_exit = True
                return
            await service.follow_current_models()

        loading = asyncio.create_task(load_and_follow())
        yield
        loading.cancel()
        with suppress(asyncio.CancelledError):
            await loading
        await service.close()

    app = make_app(service, keys, requires_key, metrics, lifespan, _print_line)
    listening = _listen(settings.serving)
    server = uvicorn.Server(_uvicorn_config(app, settings.serving))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn has its own while it runs, and raises them again at its end
    scheme = "https" if settings.serving.tls_certificate else "http"
    logger.info("listens at %s://%s:%d, page /docs", scheme, *listening.getsockname()[:2])
    server.run(sockets=[listening])
    if faults:
        raise faults[0]


def _uvicorn_config(app: FastAPI, settings: ServingSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.deadline_s) + 1,
    )


def _listen(settings: ServingSettings) -> socket.socket:
    """A socket that listens. Raises SettingsError if the address is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise SettingsError(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}): set serving.host and .port"
        ) from None


def _requires_key(settings: ServingSettings) -> bool:
    if settings.requires_key == "always":
        return True
    try:
        return not ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        return settings.host != "localhost"


def _check(settings: ServingSettings, keys: ApiKeys, requires_key: bool) -> None:
    """Raise SettingsError if nobody could ask, or TLS has no files."""
    for name, path in (("tls_certificate", settings.tls_certificate), ("tls_key", settings.tls_key)):
        if path and not Path(path).is_file():
            raise SettingsError(f"serving.{name}: there is no file {path}")
    if requires_key and not keys.entries():
        raise SettingsError(
            f"requests to {settings.host} need an API key, and there is none in {keys.path}: make one with "
            "`python -m jobs.api_keys add NAME`, or serve on 127.0.0.1"
        )


def _print_line(line: str) -> None:
    print(line, file=sys.stdout, flush=True)
