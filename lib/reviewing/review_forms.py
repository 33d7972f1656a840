"""The forms of reviewers: verdicts, checks of typed corrections, and undo."""

import hashlib
import re
import uuid
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel

from lib.lake.review_columns import VERDICTS
from lib.reviewing.access import Visitor
from lib.reviewing.image_page import RefusedReview, image_address, show_image
from lib.reviewing.page_parts import Parts, local_address, wants_json
from lib.reviewing.queue_filters import QueueFilters
from lib.reviewing.review_log import Review, ReviewLog
from lib.serving.refusals import RefusedRequestError

GIVEN = tuple(verdict for verdict in VERDICTS if verdict != "undo")  # by the form of an image


class _ReviewForm(BaseModel):
    """What the form of an image sends."""

    token: str
    review_id: str
    image_id: str
    model_version: str
    verdict: str
    filters: str = ""
    seen: str = ""
    rating: str = ""
    corrected_caption: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The image and the model."""
        return self.image_id, self.model_version


class _UndoForm(BaseModel):
    """What the button that takes a review back sends."""

    token: str
    review_id: str
    undoes: str
    filters: str = ""
    back: str = ""


def form_routes(parts: Parts) -> APIRouter:
    """POST /review, /undo and /check."""
    router = APIRouter()
    known = Depends(parts.access.visitor)

    @router.post("/review")
    def review(request: Request, visitor: Annotated[Visitor, known], form: Annotated[_ReviewForm, Form()]) -> Response:
        _check_reviewer(parts, visitor, form.token)
        kept = QueueFilters.of(_query(form.filters))
        try:
            taken = _review(parts, visitor, form)
        except RefusedRequestError as error:
            if wants_json(request) or error.status not in (409, 422):
                raise
            refused = RefusedReview(error.status, str(error), form.corrected_caption, form.rating)
            return show_image(parts, visitor, form.key, kept, refused)
        order = parts.queue.order()
        following = order.neighbour(order.matching(kept, parts.log.standing(), visitor.name), form.key, 1)
        parts.log.append(taken._replace(review_id=_id_to_store(taken, parts.log)))
        return _go_to(request, image_address(following, kept) if following else "/" + kept.query(end="1"))

    @router.post("/undo")
    def undo(request: Request, visitor: Annotated[Visitor, known], form: Annotated[_UndoForm, Form()]) -> Response:
        _check_reviewer(parts, visitor, form.token)
        undoing = _undoing(parts.log, visitor, form)
        if all(one.undoes != form.undoes for one in parts.log.reviews()):
            parts.log.append(undoing)
        key = undoing.image_id, undoing.model_version
        back = local_address(form.back) if form.back else image_address(key, QueueFilters.of(_query(form.filters)))
        return _go_to(request, back)

    @router.post("/check")
    def check(
        visitor: Annotated[Visitor, known],
        token: Annotated[str, Form()],
        corrected_caption: Annotated[str, Form()] = "",
    ) -> JSONResponse:
        _check_reviewer(parts, visitor, token)
        return JSONResponse({"caption": parts.desk.standard_form(corrected_caption)})

    return router


def _undoing(log: ReviewLog, visitor: Visitor, form: _UndoForm) -> Review:
    """The row that takes a review back. Raises RefusedRequestError."""
    taken_back = next((one for one in log.reviews() if one.review_id == form.undoes and one.verdict != "undo"), None)
    if taken_back is None:
        raise RefusedRequestError(422, "there is no such review to take back")
    if taken_back.reviewer != visitor.name and not visitor.may_take_back_all:
        raise RefusedRequestError(403, f"{visitor.name} may take back no reviews but their own: ask for the role admin")
    return taken_back._replace(
        review_id=_checked_id(form.review_id),
        verdict="undo",
        rating=None,
        corrected_caption=None,
        reviewer=visitor.name,
        undoes=form.undoes,
        reviewed_at=datetime.now(UTC),
    )


def _review(parts: Parts, visitor: Visitor, form: _ReviewForm) -> Review:
    """The row of a form. Raises RefusedRequestError with what is wrong with it."""
    order = parts.queue.order()
    if form.key not in order.index_of:
        image_id, model_version = form.key
        raise RefusedRequestError(
            404, f"there is no caption of image {image_id[:200]!r} by model {model_version[:100]!r} any more"
        )
    index = order.index_of[form.key]
    caption: str | None = order.rows["caption"][index].as_py()
    if _as_forms_send(caption or "") != _as_forms_send(form.seen):
        raise RefusedRequestError(409, "the image has a new caption since this page was loaded: review that one")
    if form.verdict not in GIVEN:
        raise RefusedRequestError(422, f"the verdict must be one of {', '.join(GIVEN)}")
    if form.verdict == "accept" and order.is_malformed[index]:
        what = "a malformed caption" if caption else "a missing caption"
        raise RefusedRequestError(422, f"{what} cannot be accepted: type the right one, or press Wrong or Skip")
    if form.rating not in ("", "1", "2", "3", "4", "5"):
        raise RefusedRequestError(422, "the rating must be a number from 1 to 5, or none")
    corrected = parts.desk.standard_form(form.corrected_caption) if form.verdict == "correct" else None
    if corrected is not None and corrected == caption:
        raise RefusedRequestError(422, "the correction is the caption itself: change it, or accept the caption")
    return Review(
        _checked_id(form.review_id),
        *form.key,
        caption,
        form.verdict,
        int(form.rating) if form.rating else None,
        corrected,
        visitor.name,
        None,
        datetime.now(UTC),
    )


def _id_to_store(review: Review, log: ReviewLog) -> str:
    """The review's id, by which a form that is sent again is stored once; another one if the form says otherwise now.

    A reviewer whose answer was lost may have changed the form before sending it again, or may send an old page's.
    """
    stored = {one.review_id: one for one in log.reviews()}
    standing = log.standing().get((review.image_id, review.model_version), {}).get(review.reviewer)
    content = hashlib.sha256(repr(review._replace(review_id="", reviewed_at=datetime.min)).encode()).hexdigest()[:8]
    for review_id in (review.review_id, f"{review.review_id}-{content}"):
        same = stored.get(review_id)
        is_sent_again = same == standing and same == review._replace(
            review_id=review_id, reviewed_at=same.reviewed_at if same else datetime.min
        )
        if same is None or is_sent_again:
            return review_id
    return uuid.uuid4().hex


def _check_reviewer(parts: Parts, visitor: Visitor, token: str) -> None:
    parts.access.check_form(visitor, token)
    if not visitor.may_review:
        raise RefusedRequestError(403, f"{visitor.name} may look, but not review: ask for the role review")


def _checked_id(review_id: str) -> str:
    if not re.fullmatch(r"[\w-]{8,64}", review_id):
        raise RefusedRequestError(422, "the form has no id of its own: load the page again")
    return review_id


def _as_forms_send(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _query(filters: str) -> dict[str, str]:
    return dict(parse_qsl(filters.removeprefix("?")))


def _go_to(request: Request, address: str) -> Response:
    return JSONResponse({"next": address}) if wants_json(request) else RedirectResponse(address, 303)
