"""The overview: what people found, as charts and tables that work without a network."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from lib.reviewing.doors import Visitor
from lib.reviewing.overview import agreement_of_reviewers, precision_by_confidence, rejected_images, reviews_by_model
from lib.reviewing.page_parts import Parts, page
from lib.reviewing.review_forms import GIVEN


def overview_routes(parts: Parts) -> APIRouter:
    """GET /overview."""
    router = APIRouter()

    @router.get("/overview")
    def overview(visitor: Annotated[Visitor, Depends(parts.doors.visitor)]) -> HTMLResponse:
        order, standing = parts.queue.order(), parts.log.standing()
        by_model = reviews_by_model(standing)
        num_by_verdict = {verdict: sum(one.num_by_verdict[verdict] for one in by_model) for verdict in GIVEN}
        return page(
            "overview",
            visitor,
            num_captions=order.rows.num_rows,
            num_reviews=sum(num_by_verdict.values()),
            verdicts=[(verdict, number, str(number)) for verdict, number in num_by_verdict.items()],
            by_model=by_model,
            precision=[
                (
                    f"{one.confidence_from:.1f} to {one.confidence_from + 0.1:.1f}",
                    one.fraction,
                    f"{one.fraction:.2f} of {one.num_captions:,}",
                )
                for one in precision_by_confidence(order, standing)
            ],
            agreements=agreement_of_reviewers(standing),
            rejected=[
                (f"{one.reason} ({one.stage})", one.num_images, f"{one.num_images:,}")
                for one in rejected_images(parts.rows)
            ],
        )

    return router
