"""Shared parts of all pages: data sources, templates, and errors as one sentence."""

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from lib.errors import CaptionlakeError
from lib.lake.delta_rows import DeltaRows, UnreadableTableError
from lib.reviewing import structure_editor
from lib.reviewing.access import AccessControl, Visitor
from lib.reviewing.caption_desk import CaptionDesk
from lib.reviewing.doubt_queue import DoubtQueue
from lib.reviewing.image_details import DetailsReader
from lib.reviewing.image_files import TABLES, ImageFiles
from lib.reviewing.lake_figures import LakeFigures
from lib.reviewing.review_log import ReviewLog
from lib.reviewing.thumbnails import Thumbnails
from lib.serving.refusals import RefusedRequestError
from lib.settings import Settings

FOLDER = Path(__file__).resolve().parent
TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["exp"] = math.exp

FIELD_TOO_LARGE = "exceeded maximum size"  # Starlette's words of a field beyond a mebibyte
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def headers_of(path: str) -> dict[str, str]:
    """The headers of every answer at a path of the site."""
    return HEADERS | (structure_editor.HEADERS if path.startswith(f"{structure_editor.ADDRESS}/") else {})


@dataclass(frozen=True)
class Parts:
    """What the pages read from and write to."""

    settings: Settings
    rows: DeltaRows
    queue: DoubtQueue
    log: ReviewLog
    details: DetailsReader
    files: ImageFiles
    thumbnails: Thumbnails
    figures: LakeFigures
    desk: CaptionDesk
    access: AccessControl
    editor_folder: Path | None  # of Ketcher's files; None = not installed

    def warm_up(self) -> None:
        """Read what the first page needs, so that nobody waits for it; what cannot be read is said by the pages."""
        with suppress(UnreadableTableError):
            self.queue.order()
            self.details.read("", "")
            for kind in TABLES:
                self.files.has(kind, "")
            self.figures.warm_up()


def page(template: str, visitor: Visitor | None, status: int = 200, **values: Any) -> HTMLResponse:
    """A page; `visitor` is None where it is not known."""
    text = TEMPLATES.get_template(f"{template}.html.jinja").render(visitor=visitor, **values)
    return HTMLResponse(text, status, {"Cache-Control": "no-store"})


def wants_json(request: Request) -> bool:
    """Whether the request comes from the page's script, which wants JSON, and not from a browser's navigation."""
    return "application/json" in request.headers.get("accept", "")


def local_address(address: str) -> str:
    """An address of this site; the queue's for any other."""
    is_local = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if is_local and address.isprintable() else "/"


def answer_errors_in_one_sentence(app: FastAPI, parts: Parts) -> None:
    """Register what is answered where a page cannot be: JSON for the script, else a page of one sentence."""

    def refuse(request: Request, status: int, sentence: str) -> Response:
        request.state.error = sentence if status != 422 else None  # which may quote what was sent
        if wants_json(request):
            return JSONResponse({"detail": sentence}, status)
        if status == 401 and request.method == "GET" and not parts.settings.reviewing.proxy_header:
            address = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
            return RedirectResponse("/sign-in?" + urlencode({"next": address}), 303)
        form = getattr(request, "_form", None) or {}  # as far as it was read: what is left of it may be too much
        return page("error", None, status, sentence=sentence, typed=str(form.get("corrected_caption", "")))

    @app.exception_handler(RefusedRequestError)
    async def refused(request: Request, error: RefusedRequestError) -> Response:
        return refuse(request, error.status, str(error))

    @app.exception_handler(CaptionlakeError)
    async def cannot_answer(request: Request, error: CaptionlakeError) -> Response:
        return refuse(request, 503, str(error))

    @app.exception_handler(HTTPException)
    async def refused_by_framework(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, RefusedRequestError):  # raised while FastAPI read a form
            return await refused(request, error.__cause__)
        if FIELD_TOO_LARGE in str(error.detail):
            most = parts.settings.reviewing.max_caption_characters
            return refuse(request, 413, f"a field of the form is too large: a correction may have {most:,} characters")
        sentences = {404: "there is no such page", 405: f"this address does not take {request.method}"}
        return refuse(request, error.status_code, sentences.get(error.status_code, str(error.detail)))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        fault = error.errors()[0]
        return refuse(request, 422, f"{fault['loc'][-1]}: {fault['msg']}")

    @app.exception_handler(Exception)
    async def failed(request: Request, _: Exception) -> Response:
        answer = refuse(request, 500, "the page failed; its log says why")
        answer.headers.update(headers_of(request.url.path))  # it is made outside the guard
        return answer
