"""The review page as an application over FastAPI: pages, access, and the headers that every answer has."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Form, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.reviewing import structure_editor
from lib.reviewing.access import COOKIE, AccessControl, Visitor
from lib.reviewing.attention_page import attention_routes
from lib.reviewing.attention_reader import AttentionReader
from lib.reviewing.drop_page import DropCaptioner, drop_routes
from lib.reviewing.image_page import image_routes
from lib.reviewing.overview_page import overview_routes
from lib.reviewing.page_parts import FOLDER, Parts, answer_errors_in_one_sentence, headers_of, local_address, page
from lib.reviewing.queue_page import queue_routes
from lib.reviewing.review_forms import form_routes
from lib.reviewing.reviews_page import reviews_routes
from lib.serving.metrics import Metrics, metrics_route
from lib.serving.refusals import RefusedRequestError
from lib.serving.request_log import BodyLimits, RequestLog

SIGN_IN = "/sign-in"
STRANGERS_BYTES = 64 << 10  # of one form of someone who has not signed in
STRANGERS_BYTES_AT_ONCE = 8 << 20  # of all their forms
STRANGERS_S = 10.0  # until such a form must have come


class Guard:
    """ASGI middleware: refuses what comes from another site, and tells browsers to run the page's own script alone."""

    def __init__(self, app: ASGIApp, access: AccessControl) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers_of(scope["path"]))
            await send(message)

        refusal = self._access.refusal_of_address(Request(scope))
        answer = PlainTextResponse(refusal, 403) if refusal else self._app
        await answer(scope, receive, send_with_headers)


def make_app(
    parts: Parts,
    captioner: DropCaptioner,
    reader: AttentionReader,
    metrics: Metrics,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    write: Callable[[str], None],
) -> FastAPI:
    """The application; `write` gets a line of JSON for each request."""
    app = FastAPI(title="captionlake", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    app.add_middleware(Guard, access=parts.access)
    app.add_middleware(RequestLog, metrics=metrics, limits_of=limits_of_bodies(parts), write=write)
    answer_errors_in_one_sentence(app, parts)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    if parts.editor_folder is not None:
        app.mount(structure_editor.ADDRESS, StaticFiles(directory=parts.editor_folder, html=True))
    for routes in (queue_routes, image_routes, form_routes, reviews_routes, overview_routes, sign_in_routes):
        app.include_router(routes(parts))
    app.include_router(drop_routes(parts, captioner))
    app.include_router(attention_routes(parts, reader))
    app.include_router(metrics_route(metrics))

    @app.get("/healthz")
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("alive")

    return app


def limits_of_bodies(parts: Parts) -> Callable[[Scope], BodyLimits]:
    """The limits of a request; strangers share few bytes, so that they cannot hold those of reviewers.

    A short form of a stranger is read all the same, to give back what someone has typed whose session has ended.
    """
    settings = parts.settings.reviewing
    of_reviewers = BodyLimits(settings.max_request_bytes, settings.max_bytes_at_once, settings.deadline_s)
    of_strangers = BodyLimits(STRANGERS_BYTES, STRANGERS_BYTES_AT_ONCE, min(STRANGERS_S, settings.deadline_s))

    def limits_of(scope: Scope) -> BodyLimits:
        request = Request(scope)
        if request.url.path == SIGN_IN:
            return of_strangers
        try:
            parts.access.visitor(request)
        except RefusedRequestError:
            if int(request.headers.get("content-length") or 0) > STRANGERS_BYTES:
                raise
            return of_strangers
        return of_reviewers

    return limits_of


def sign_in_routes(parts: Parts) -> APIRouter:
    """GET and POST /sign-in, POST /sign-out."""
    router = APIRouter()
    access = parts.access

    @router.get(SIGN_IN)
    def sign_in_page(next: str = "/") -> HTMLResponse:
        return page("sign_in", None, next=local_address(next), fault=None)

    @router.post(SIGN_IN)
    def sign_in(request: Request, key: Annotated[str, Form()], next: Annotated[str, Form()] = "/") -> Response:
        try:
            cookie = access.sign_in(key)
        except RefusedRequestError as error:
            return page("sign_in", None, error.status, next=local_address(next), fault=str(error))
        response = RedirectResponse(local_address(next), 303)
        is_tls = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
        response.set_cookie(
            COOKIE, cookie, max_age=access.sessions.max_age_s, httponly=True, secure=is_tls, samesite="lax"
        )
        return response

    @router.post("/sign-out")
    def sign_out(visitor: Annotated[Visitor, Depends(access.visitor)], token: Annotated[str, Form()]) -> Response:
        access.check_form(visitor, token)
        response = RedirectResponse(SIGN_IN, 303)
        response.delete_cookie(COOKIE)
        return response

    return router
