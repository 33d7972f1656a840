"""Drop an image on the page and see its caption: nothing is stored."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from starlette.datastructures import UploadFile

from lib.errors import CaptionlakeError, CorruptImageError
from lib.images.browser_images import ImageFile, as_browsers_show, as_data_uri
from lib.images.cleaning import clean_image, encode_png
from lib.reviewing.access import Visitor
from lib.reviewing.page_parts import Parts, page
from lib.serving.answers import CaptionAnswer
from lib.serving.metrics import Metrics
from lib.serving.refusals import RefusedRequestError
from lib.serving.request_images import check_form_is_whole
from lib.serving.service import CaptionService
from lib.settings import Settings

logger = logging.getLogger(__name__)


class DropCaptioner:
    """The models of serving.models, loaded when the first person opens the page. Belongs to one event loop."""

    def __init__(self, settings: Settings, overrides: Sequence[str], metrics: Metrics) -> None:
        alone = settings.serving.model_copy(update={"second_captioners": {}})  # the page shows ours
        self._made_with = settings.model_copy(update={"serving": alone}), overrides, metrics
        self._settings = settings
        self._service: CaptionService | None = None
        self._loading: asyncio.Task[None] | None = None

    @property
    def is_warm(self) -> bool:
        """Whether an image would be captioned at once."""
        return self._service is not None and self._service.is_warm

    def start(self) -> None:
        """Begin to load the models, if nobody has. Raises SettingsError, MissingInputError if there are none."""
        if self._loading is not None and self._loading.done() and self._loading.exception():
            self._loading = None  # what was missing may be there now
        if self._loading is None:
            self._service = CaptionService(*self._made_with)
            self._loading = asyncio.create_task(self._service.start())

    async def caption(self, image: bytes) -> CaptionAnswer:
        """The caption of one image. Waits for the models, within reviewing.deadline_s. Raises RefusedRequestError."""
        self.start()
        assert self._loading is not None
        assert self._service is not None
        try:
            async with asyncio.timeout(self._settings.reviewing.deadline_s):
                await asyncio.shield(self._loading)
                (answer,) = await self._service.caption(self._service.dataset_named(self._settings.dataset), [image])
        except TimeoutError:
            raise RefusedRequestError(504, "the model is not ready yet: send the image again in a minute") from None
        return answer

    async def close(self) -> None:
        """End all processes."""
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
        if self._service is not None:
            await self._service.close()


def drop_routes(parts: Parts, captioner: DropCaptioner) -> APIRouter:
    """GET and POST /try."""
    router = APIRouter()
    known = Depends(parts.access.visitor)
    max_bytes = parts.settings.landing.max_image_bytes

    def show(visitor: Visitor, status: int = 200, fault: str | None = None, **found: Any) -> HTMLResponse:
        values = {"answer": None, "arrived": None, "cleaned": None, "overlay": None} | found
        values |= {"max_bytes": max_bytes, "is_warm": captioner.is_warm, "can_draw": parts.desk.can_draw}
        return page("try", visitor, status, fault=fault, **values)

    @router.get("/try")
    async def try_page(visitor: Annotated[Visitor, known]) -> HTMLResponse:
        try:
            captioner.start()
        except CaptionlakeError as error:
            return show(visitor, 503, str(error))
        return show(visitor)

    @router.post("/try")
    async def try_image(request: Request, visitor: Annotated[Visitor, known]) -> HTMLResponse:
        body = await request.body()
        async with request.form(max_files=2, max_fields=8) as form:
            check_form_is_whole(request.headers.get("content-type", ""), body)
            parts.access.check_form(visitor, str(form.get("token", "")))
            file = form.get("image")
            image = await file.read() if isinstance(file, UploadFile) else b""
        if not image:
            return show(visitor, 422, "choose an image first")
        if len(image) > max_bytes:
            return show(visitor, 413, f"the image has {len(image):,} bytes; at most {max_bytes:,} are read")
        try:
            arrived, cleaned, pixels = await asyncio.to_thread(_prepared, image, parts.settings)
            answer = await captioner.caption(image)
        except CorruptImageError as error:
            return show(visitor, 422, str(error))
        except CaptionlakeError as error:  # also of models that cannot be loaded
            return show(visitor, error.status if isinstance(error, RefusedRequestError) else 503, str(error))
        overlay = None
        if parts.desk.can_draw and answer.caption:
            overlay = await asyncio.to_thread(parts.desk.overlay, answer.caption, pixels.shape, pixels.tobytes())
        return show(
            visitor,
            answer=answer,
            arrived=arrived,
            cleaned=cleaned,
            overlay=as_data_uri(ImageFile(overlay, "image/png")) if overlay else None,
        )

    return router


def _prepared(image: bytes, settings: Settings) -> tuple[str, str, Any]:
    """The image as it arrived and cleaned, as data URIs, and the cleaned pixels. Raises CorruptImageError."""
    pixels = clean_image(image, settings.cleaning).pixels
    shown = as_browsers_show(image, settings.cleaning)
    return as_data_uri(shown), as_data_uri(ImageFile(encode_png(pixels), "image/png")), pixels
