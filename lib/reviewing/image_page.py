"""One image: what is shown of it and its caption, and its files."""

import hashlib
import logging
import uuid
from typing import Annotated, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from lib.images.browser_images import ImageFile
from lib.lake.delta_rows import UnreadableTableError
from lib.reviewing.access import Visitor
from lib.reviewing.caption_desk import decoded_png
from lib.reviewing.image_files import TABLES
from lib.reviewing.page_parts import Parts, page
from lib.reviewing.queue_filters import REASONS, QueueFilters
from lib.serving.refusals import RefusedRequestError

logger = logging.getLogger(__name__)


def image_address(key: tuple[str, str], filters: QueueFilters) -> str:
    """The address of the page of one caption, by image_id and model_version, within a filtered queue."""
    return "/image" + filters.query(image_id=key[0], model_version=key[1])


class RefusedReview(NamedTuple):
    """A review that was not taken: why, and what its form held."""

    status: int
    fault: str
    typed: str
    rating: str


def show_image(
    parts: Parts, visitor: Visitor, key: tuple[str, str], filters: QueueFilters, refused: RefusedReview | None = None
) -> HTMLResponse:
    """The page of one caption, with the review of it that was not taken.

    Raises RefusedRequestError if there is no such caption, UnreadableTableError.
    """
    order = parts.queue.order()
    details = parts.details.read(*key)
    if details is None or key not in order.index_of:
        raise RefusedRequestError(
            404, f"there is no caption of image {key[0][:200]!r} by model {key[1][:100]!r} any more"
        )
    standing = parts.log.standing()
    matching = order.matching(filters, standing, visitor.name)
    neighbours = {step: order.neighbour(matching, key, step) for step in (1, -1)}
    newest = parts.log.newest_of(visitor.name)
    caption = details.prediction["caption"]
    index = order.index_of[key]
    return page(
        "image",
        visitor,
        refused.status if refused else 200,
        details=details,
        prediction=details.prediction,
        reasons=[words for name, words in REASONS.items() if order.is_of_reason[name][index]],
        filters=filters,
        reviews=sorted(standing.get(key, {}).values(), key=lambda review: review.reviewed_at),
        review_id=uuid.uuid4().hex,
        undo_id=uuid.uuid4().hex,
        newest=newest,
        here=image_address(key, filters),
        next=image_address(neighbours[1], filters) if neighbours[1] else None,
        previous=image_address(neighbours[-1], filters) if neighbours[-1] else None,
        next_files=[_address(kind, image_id=neighbours[1][0]) for kind in TABLES] if neighbours[1] else [],
        files={kind: _address(kind, image_id=key[0]) for kind in TABLES if _can_be_read(parts, kind, key[0])},
        overlay=_address("overlay", image_id=key[0], caption=caption) if parts.desk.can_draw and caption else None,
        can_draw=parts.desk.can_draw,
        has_structures=parts.desk.has_structures,
        has_editor=parts.editor_folder is not None,
        fault=refused.fault if refused else None,
        typed=refused.typed if refused else caption or "",
        rating=refused.rating if refused else "",
    )


def _can_be_read(parts: Parts, kind: str, image_id: str) -> bool:
    """Whether the image is in the table; a table that cannot be read costs its image alone."""
    try:
        return parts.files.has(kind, image_id)
    except UnreadableTableError as error:
        logger.warning("an image is not shown: %s", error)
        return False


def image_routes(parts: Parts) -> APIRouter:
    """GET /image and the files that it shows."""
    router = APIRouter()
    known = Depends(parts.access.visitor)

    @router.get("/image")
    def image(request: Request, visitor: Annotated[Visitor, known], image_id: str, model_version: str) -> HTMLResponse:
        return show_image(parts, visitor, (image_id, model_version), QueueFilters.of(request.query_params))

    @router.get("/files/overlay", dependencies=[known])
    def overlay(request: Request, image_id: str, caption: Annotated[str, Query()]) -> Response:
        if len(caption) > parts.settings.reviewing.max_caption_characters:
            raise RefusedRequestError(422, "the caption is too long to be drawn")
        pixels = decoded_png(parts.files.read("clean", image_id))
        content = parts.desk.overlay(caption, pixels.shape, pixels.tobytes())
        if content is None:
            raise RefusedRequestError(404, "this caption cannot be drawn")
        return _as_file(request, ImageFile(content, "image/png"))

    @router.get("/files/structure", dependencies=[known])
    def structure(caption: Annotated[str, Query()]) -> PlainTextResponse:
        return PlainTextResponse(parts.desk.molfile(caption))

    @router.get("/files/thumbnail", dependencies=[known])
    def thumbnail(request: Request, image_id: str) -> Response:
        file = parts.thumbnails.file(image_id)
        return _as_file(request, file) if file else RedirectResponse("/static/no_image.svg", 303)

    @router.get("/files/{kind}", dependencies=[known])
    def file(request: Request, kind: str, image_id: str) -> Response:
        if kind not in TABLES:
            raise RefusedRequestError(404, "there is no such page")
        return _as_file(request, parts.files.file(kind, image_id))

    return router


def _address(kind: str, **query: str) -> str:
    return f"/files/{kind}?{urlencode(query)}"


def _as_file(request: Request, file: ImageFile) -> Response:
    tag = f'"{hashlib.sha256(file.content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}  # asked for again: it may have been replaced
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
