"""The HTTP endpoints with FastAPI: authorisation, time limits and status codes."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from lib.serving.answers import CaptionAnswer, CaptionsAnswer, InvocationsAnswer, StatusAnswer, VersionAnswer
from lib.serving.api_keys import ApiKeys
from lib.serving.error_answers import answer_errors_in_one_sentence
from lib.serving.metrics import Metrics, metrics_route
from lib.serving.openapi_page import CAPTION_BODY, DESCRIPTION, INVOCATION_BODY, REFUSALS
from lib.serving.refusals import HUNG_UP, LOADING, UNKNOWN_KEY, RefusedRequestError
from lib.serving.request_images import RequestImages
from lib.serving.request_log import BodyLimits, RequestLog
from lib.serving.request_rates import RequestRates
from lib.serving.service import CaptionService


def make_app(
    service: CaptionService,
    keys: ApiKeys,
    requires_key: bool,
    metrics: Metrics,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    write: Callable[[str], None],
) -> FastAPI:
    """The application; `write` gets a line of JSON for each request."""
    settings = service.settings.serving
    app = FastAPI(
        title="captionlake", version=version("captionlake"), description=DESCRIPTION, lifespan=lifespan, redoc_url=None
    )
    limits = BodyLimits(settings.max_request_bytes, settings.max_bytes_at_once, settings.deadline_s)
    app.add_middleware(RequestLog, metrics=metrics, limits_of=lambda _: limits, write=write)
    answer_errors_in_one_sentence(app)
    asked = [Depends(_door(keys if requires_key else None, settings.requests_per_minute))]
    app.include_router(_caption_routes(service), dependencies=asked, tags=["captions"])
    app.include_router(_version_route(service), dependencies=asked, tags=["server"])
    app.include_router(_server_routes(service, metrics), tags=["server"])
    return app


def _door(keys: ApiKeys | None, requests_per_minute: int) -> Callable[..., Awaitable[None]]:
    """What refuses requests without a key, unless `keys` is None, and too many of them."""
    rates = RequestRates(requests_per_minute)

    async def may_ask(
        request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]
    ) -> None:
        who = request.client.host if request.client else ""
        if keys is not None:
            if given is None:
                raise RefusedRequestError(401, "no API key: send the header `Authorization: Bearer KEY`")
            name = await asyncio.to_thread(keys.name_of, given.credentials)
            if name is None:
                raise RefusedRequestError(401, UNKNOWN_KEY)
            request.state.key_name = name
            who = f"key {name}"
        if (wait_s := rates.seconds_to_wait(who)) is not None:
            sentence = f"more than {requests_per_minute} requests in a minute: send fewer, with more images each"
            raise RefusedRequestError(429, sentence, wait_s)

    return may_ask


def _caption_routes(service: CaptionService) -> APIRouter:
    """POST /caption and /invocations."""
    router = APIRouter()
    settings = service.settings.serving
    images_of = RequestImages(settings)

    async def captions_of(request: Request, name: str, images: list[bytes], until: float) -> list[CaptionAnswer]:
        request.state.dataset, request.state.num_images = name, len(images)
        return await _unless_gone(request, service.caption(name, images, until))

    @router.post("/caption", response_model=CaptionsAnswer, responses=REFUSALS, openapi_extra=CAPTION_BODY)
    async def caption(
        request: Request,
        dataset: Annotated[str | None, Query(description="kind of image: molecules, photos, ...")] = None,
    ) -> CaptionsAnswer | JSONResponse:
        """Caption images: files in the form's field `images`, or JSON with base 64 or URLs.

        One entry for each image, in the order sent; one that cannot be read has a `reason`. If none can be read, the
        status is 422.
        """
        until = asyncio.get_running_loop().time() + settings.deadline_s
        if unknown := sorted(request.query_params.keys() - {"dataset"}):
            raise RefusedRequestError(422, f"{unknown[0][:40]!r} in the address is not known: dataset alone is")

        async def work() -> list[CaptionAnswer]:
            name = service.dataset_named(dataset)
            images = await images_of.of_caption(request, service.max_image_bytes[name])
            return await captions_of(request, name, images, until)

        captions = await _in_time(settings.deadline_s, work())
        answer = CaptionsAnswer(captions=captions)
        if all(one.reason is not None for one in captions):
            detail = f"no image could be read: {captions[0].reason}"
            request.state.error = "no image could be read"
            return JSONResponse({"detail": detail, **answer.model_dump()}, 422)
        return answer

    @router.post("/invocations", responses=REFUSALS, openapi_extra=INVOCATION_BODY)
    async def invocations(request: Request) -> InvocationsAnswer:
        """Caption images as MLflow's scoring protocol has it; the column `image` holds files in base 64."""
        until = asyncio.get_running_loop().time() + settings.deadline_s

        async def work() -> list[CaptionAnswer]:
            images, dataset = await images_of.of_invocation(request)
            name = service.dataset_named(dataset)
            images = images_of.checked(images, service.max_image_bytes[name])
            return await captions_of(request, name, images, until)

        return InvocationsAnswer(predictions=await _in_time(settings.deadline_s, work()))

    return router


def _version_route(service: CaptionService) -> APIRouter:
    """GET /version."""
    router = APIRouter()

    @router.get("/version", responses={401: REFUSALS[401]})
    async def version_of_models() -> VersionAnswer:
        """The package's version, and which model captions each dataset."""
        models = {dataset: model.version for dataset, model in service.models.items()}
        return VersionAnswer(version=version("captionlake"), models=models)

    return router


def _server_routes(service: CaptionService, metrics: Metrics) -> APIRouter:
    """GET /healthz, /readyz and /metrics, which anybody may ask."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> StatusAnswer:
        """200 while the server answers at all."""
        return StatusAnswer(status="alive")

    @router.get("/ping", include_in_schema=False)  # what platforms that serve models for MLflow ask
    @router.get("/readyz", responses={503: REFUSALS[503]})
    async def readyz() -> StatusAnswer:
        """200 once the models are loaded and have captioned an image."""
        if not service.is_warm:
            raise RefusedRequestError(503, LOADING, 5)
        return StatusAnswer(status="ready")

    router.include_router(metrics_route(metrics))
    return router


async def _in_time(deadline_s: float, work: Awaitable[list[CaptionAnswer]]) -> list[CaptionAnswer]:
    """What the work answers. Raises RefusedRequestError if that takes longer than a request may take."""
    try:
        async with asyncio.timeout(deadline_s):
            return await work
    except TimeoutError:
        raise RefusedRequestError(
            504, f"no answer in {deadline_s:g} s: send fewer images at a time, or try later", deadline_s
        ) from None


async def _unless_gone(request: Request, work: Awaitable[list[CaptionAnswer]]) -> list[CaptionAnswer]:
    """What the work answers; it is cancelled when the client hangs up."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise RefusedRequestError(499, HUNG_UP)
        return await working
    finally:
        for task in (working, gone):
            task.cancel()
        with suppress(asyncio.CancelledError, RefusedRequestError):
            await working


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
