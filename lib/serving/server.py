"""The server: uvicorn around the application, from the first connection to an end that loses no request."""

import asyncio
import ipaddress
import logging
import shlex
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from lib.errors import SettingsError
from lib.sections.serving import ListeningSettings
from lib.serving.api_keys import ApiKeys
from lib.serving.app import make_app
from lib.serving.metrics import Metrics
from lib.serving.service import CaptionService
from lib.settings import Settings

logger = logging.getLogger(__name__)

KEEP_ALIVE_S = 65  # longer than the 60 s of common proxies, which would send into closed connections


def serve(settings: Settings, overrides: Sequence[str]) -> None:
    """Answer requests until the process is told to end.

    `overrides` are those that `settings` were made with: each dataset has settings of its own.
    Raises SettingsError, MissingInputError, RuntimeMissingError if it cannot start.
    """
    keys = ApiKeys(settings.storage.root)
    requires_key = requires_key_for(settings.serving)
    check_tls_and_keys(settings.serving, keys if requires_key else None)
    metrics = Metrics()
    service = CaptionService(settings, overrides, metrics)
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

    app = make_app(service, keys, requires_key, metrics, lifespan, print_line)
    server = server_of(app, settings.serving)
    listen_and_run(server, settings.serving, ", page /docs")
    if faults:
        raise faults[0]


def server_of(app: FastAPI, settings: ListeningSettings, believes_proxy: bool = True) -> uvicorn.Server:
    """The server of an application of ours, which writes its own log.

    `believes_proxy`: a proxy on this machine says which address called; else the caller is the proxy.
    """
    config = uvicorn.Config(
        app,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=believes_proxy,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.deadline_s) + 1,
    )
    return uvicorn.Server(config)


def listen_and_run(server: uvicorn.Server, settings: ListeningSettings, note: str = "") -> None:
    """Log the address and the note, and answer requests until the process is told to end.

    Raises SettingsError if the address is taken or not this machine's.
    """
    listening = listen(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn has its own while it runs, and raises them again at its end
    logger.info("listens at %s%s", address_of(listening, settings), note)
    server.run(sockets=[listening])


def listen(settings: ListeningSettings) -> socket.socket:
    """A socket that listens. Raises SettingsError if the address is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise SettingsError(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}): "
            f"set {settings.section}.host and .port"
        ) from None


def address_of(listening: socket.socket, settings: ListeningSettings) -> str:
    """The URL of a socket that listens, as browsers take it."""
    scheme = "https" if settings.tls_certificate else "http"
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def requires_key_for(settings: ListeningSettings) -> bool:
    """Whether callers must be authenticated: always, or unless the host is a loopback address."""
    if settings.requires_key == "always":
        return True
    try:
        return not ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        return settings.host != "localhost"


def check_tls_and_keys(settings: ListeningSettings, keys: ApiKeys | None) -> None:
    """Raise SettingsError if TLS has no usable files, or nobody could ask; `keys` is None where nobody needs one."""
    if settings.tls_certificate and settings.tls_key:
        _check_tls(settings.section, settings.tls_certificate, settings.tls_key)
    if keys and not keys.entries():
        command = shlex.join(["python", "-m", "jobs.api_keys", "add", "NAME", "--set", f"storage.root={keys.root}"])
        raise SettingsError(
            f"requests to {settings.host} need an API key, and there is none in {keys.path}: make one with "
            f"`{command}`, or serve on 127.0.0.1"
        )


def _check_tls(section: str, certificate: str, key: str) -> None:
    """Raise SettingsError if the PEM files are not there, or not a certificate and its private key."""
    for name, path in (("tls_certificate", certificate), ("tls_key", key)):
        if not Path(path).is_file():
            raise SettingsError(f"{section}.{name}: there is no file {path}")
    try:
        # A key with a passphrase would be asked for on the terminal; of the empty one it is refused.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"{section}.tls_certificate {certificate} and {section}.tls_key {key} cannot be used ({why}): name PEM "
            "files of a certificate with its chain and of its private key without a passphrase"
        ) from None


def print_line(line: str) -> None:
    """Write a line of the access log."""
    print(line, file=sys.stdout, flush=True)
