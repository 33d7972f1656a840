"""The newest reviews of all reviewers; an admin takes back any of them."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse

from lib.reviewing.access import Visitor
from lib.reviewing.image_page import image_address
from lib.reviewing.page_parts import Parts, page
from lib.reviewing.queue_filters import QueueFilters


def reviews_routes(parts: Parts) -> APIRouter:
    """GET /reviews."""
    router = APIRouter()

    @router.get("/reviews")
    def reviews(
        visitor: Annotated[Visitor, Depends(parts.access.visitor)],
        reviewer: Annotated[str, Query()] = "",
        after: Annotated[str, Query()] = "",
    ) -> HTMLResponse:
        rows = parts.log.reviews()
        given = [one for one in reversed(rows) if one.verdict != "undo"]
        matching = [one for one in given if reviewer in ("", one.reviewer)]
        start = next((index + 1 for index, one in enumerate(matching) if one.review_id == after), 0)
        shown = matching[start : start + parts.settings.reviewing.images_per_page]
        order = parts.queue.order()
        return page(
            "reviews",
            visitor,
            shown=shown,
            num_found=len(matching),
            is_first_page=not start,
            after=shown[-1].review_id if start + len(shown) < len(matching) else None,
            reviewer=reviewer,
            reviewers=sorted({one.reviewer for one in given} | ({reviewer} if reviewer else set())),
            undoing={one.undoes: one for one in rows if one.verdict == "undo"},
            addresses={
                one.review_id: image_address((one.image_id, one.model_version), QueueFilters())
                for one in shown
                if (one.image_id, one.model_version) in order.index_of
            },
            new_id=lambda: uuid.uuid4().hex,
        )

    return router
