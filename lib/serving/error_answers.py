"""Every error as `{"detail": "one sentence"}` with its status."""

from math import ceil

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lib.serving.refusals import HUNG_UP, RefusedRequestError


def answer_errors_in_one_sentence(app: FastAPI) -> None:
    """Register handlers that replace FastAPI's own error answers."""

    @app.exception_handler(RefusedRequestError)
    async def refused(request: Request, error: RefusedRequestError) -> JSONResponse:
        if error.status != 422:  # whose sentence may quote what was sent
            request.state.error = str(error)
        headers = {"Retry-After": str(ceil(error.retry_after_s))} if error.retry_after_s is not None else {}
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"detail": str(error)}, error.status, headers)

    @app.exception_handler(HTTPException)
    async def refused_by_framework(request: Request, error: HTTPException) -> JSONResponse:
        sentences = {
            404: f"there is no {request.url.path[:80]} here; /docs shows what there is",
            405: f"{request.url.path} does not take {request.method}; /docs shows what it takes",
        }
        detail = sentences.get(error.status_code, error.detail)
        return JSONResponse({"detail": detail}, error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, _: ClientDisconnect) -> JSONResponse:
        request.state.error = HUNG_UP
        return JSONResponse({"detail": HUNG_UP}, 499)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        fault = error.errors()[0]
        return JSONResponse({"detail": f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"}, 422)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"detail": "the server failed; its log says why"}, 500)
