"""The queue: rows of captions in order of doubt, with filters and pages."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from lib.reviewing.access import Visitor
from lib.reviewing.image_page import image_address
from lib.reviewing.page_parts import Parts, page
from lib.reviewing.queue_filters import ALL_MODELS, REASONS, STATES, QueueFilters

EMPTY = {
    "no_table": "There are no captions yet: run predict_captions, then load this page again.",
    "no_match": "No caption is left by these filters.",
    "end": "That was the last one of this queue.",
}


def queue_routes(parts: Parts) -> APIRouter:
    """GET /, the page that one begins with."""
    router = APIRouter()

    @router.get("/")
    def queue(
        request: Request,
        visitor: Annotated[Visitor, Depends(parts.access.visitor)],
        after_image: Annotated[str, Query()] = "",
        after_model: Annotated[str, Query()] = "",
        end: Annotated[str, Query()] = "",
    ) -> HTMLResponse:
        filters = QueueFilters.of(request.query_params)
        order = parts.queue.order()
        matching = order.matching(filters, parts.log.standing(), visitor.name)
        shown = order.page(matching, (after_image, after_model), parts.settings.reviewing.images_per_page)
        last = shown.rows[-1] if shown.rows and not shown.is_last else None
        is_filtered = bool(order.rows.num_rows)
        return page(
            "queue",
            visitor,
            filters=filters,
            shown=shown,
            model_options=[(model, model) for model in order.models],
            day_options=[(day, day) for day in order.days_of(filters)],
            address=lambda row: image_address((row["image_id"], row["model_version"]), filters),
            reasons=REASONS,
            states=STATES,
            all_models=ALL_MODELS,
            next_page=filters.query(after_image=last["image_id"], after_model=last["model_version"]) if last else None,
            is_first_page=not after_image,
            notice=EMPTY["end"] if end else None,
            newest=parts.log.newest_of(visitor.name) if end and visitor.may_review else None,
            undo_id=uuid.uuid4().hex,
            empty=None if shown.rows else EMPTY["no_match" if is_filtered else "no_table"],
        )

    return router
