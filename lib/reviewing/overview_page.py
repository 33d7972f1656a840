"""The overview page: statistics of reviews and tables, as charts and tables that need no network."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Annotated, Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from lib.lake.delta_rows import UnreadableTableError
from lib.lake.drift_limits import CHANGED_A_LOT_FROM, CHANGED_FROM, NUM_TELLING
from lib.reviewing.access import Visitor
from lib.reviewing.caption_quality import Quality
from lib.reviewing.doubt_queue import DoubtOrder
from lib.reviewing.line_chart import LineChart, line_chart
from lib.reviewing.overview import (
    ModelReviews,
    ReviewAgreement,
    agreement_of_reviewers,
    precision_by_confidence,
    reviews_by_model,
)
from lib.reviewing.page_parts import Parts, page
from lib.reviewing.rejected_images import Rejected
from lib.reviewing.review_forms import GIVEN
from lib.reviewing.review_log import Standing
from lib.reviewing.training_history import TrainingHistory

CLEANING = "clean"  # the stage
NUM_DRIFTS = 14  # the newest
Bar = tuple[str, float, str]  # name, value, and the value in words
Found = TypeVar("Found")


class Section(NamedTuple, Generic[Found]):
    """What one part of the page shows: figures, or the sentence why there are none."""

    found: Found | None
    fault: str | None


class Reviews(NamedTuple):
    """The statistics of reviews."""

    num_captions: int
    num_reviews: int
    verdicts: list[Bar]
    by_model: list[ModelReviews]
    precision: list[Bar]
    agreements: list[ReviewAgreement]


def overview_routes(parts: Parts) -> APIRouter:
    """GET /overview."""
    router = APIRouter()
    are_sentences = parts.settings.evaluation.scores_sentences

    @router.get("/overview")
    def overview(visitor: Annotated[Visitor, Depends(parts.access.visitor)]) -> HTMLResponse:
        captions = _section(parts.figures.captions.newest)
        trainings = _section(parts.figures.trainings.newest)
        return page(
            "overview",
            visitor,
            reviews=_section(lambda: _reviews(parts.queue.order(), parts.log.standing())),
            captions=captions,
            are_sentences=are_sentences,
            by_day=_by_day(captions.found.quality.by_day, are_sentences) if captions.found else None,
            drifts=captions.found.drift[:NUM_DRIFTS] if captions.found else [],
            changed_from=CHANGED_FROM,
            changed_a_lot_from=CHANGED_A_LOT_FROM,
            num_telling=NUM_TELLING,
            trainings=trainings,
            learning=_learning(trainings.found) if trainings.found else [],
            evaluations=_section(parts.figures.evaluations.newest),
            rejected=_section(parts.figures.rejected.newest),
            cleaning=CLEANING,
            thumbnails=_section(lambda: _thumbnails(parts, parts.figures.rejected.newest())),
        )

    return router


def _section(find: Callable[[], Found]) -> Section[Found]:
    try:
        return Section(find(), None)
    except UnreadableTableError as error:
        return Section(None, str(error))


def _reviews(order: DoubtOrder, standing: Standing) -> Reviews:
    by_model = reviews_by_model(standing)
    num_by_verdict = {verdict: sum(one.num_by_verdict[verdict] for one in by_model) for verdict in GIVEN}
    precision = [
        (
            f"{one.confidence_from:.1f} to {one.confidence_from + 0.1:.1f}",
            one.fraction,
            f"{one.fraction:.2f} of {one.num_captions:,}",
        )
        for one in precision_by_confidence(order, standing)
    ]
    return Reviews(
        order.rows.num_rows,
        sum(num_by_verdict.values()),
        [(verdict, number, f"{number:,}") for verdict, number in num_by_verdict.items()],
        by_model,
        precision,
        agreement_of_reviewers(standing),
    )


def _by_day(days: Sequence[Quality], are_sentences: bool) -> LineChart | None:
    """How good and how sure captions of each day are, both from 0 to 1."""
    name = "similarity" if are_sentences else "exact"
    scores = [one.mean_similarity if are_sentences else one.exact_match for one in days]
    numbers = [date.fromisoformat(one.group).toordinal() for one in days]
    of_lines = {name: scores, "confidence": [one.mean_confidence for one in days]}
    lines = {
        line: [(float(number), value) for number, value in zip(numbers, values, strict=True) if value is not None]
        for line, values in of_lines.items()
    }
    ends = {float(numbers[index]): days[index].group for index in (0, -1)} if days else {}
    return line_chart("By day", lines, ends, highest=1.0)


def _learning(history: TrainingHistory) -> list[tuple[str, LineChart]]:
    """The newest run's losses and edit distance over its steps, with headings."""
    charts = (
        ("Loss in nats per token, by step", history.curves, 2),
        ("Edit distance of validation captions, by step", {"edit distance": history.distance_curve}, 1),
    )
    found = []
    for title, curves, decimals in charts:
        steps = sorted({step for curve in curves.values() for step, _ in curve})
        ticks = {step: f"{step:,.0f}" for step in (*steps[:1], *steps[-1:])}
        chart = line_chart(title, curves, ticks, decimals=decimals)
        found += [(title, chart)] if chart else []
    return found


def _thumbnails(parts: Parts, rejected: Sequence[Rejected]) -> dict[str, str]:
    """The addresses of thumbnails of those examples that are in images_raw, by image_id.

    Only what cleaning rejected is there: an image of the name of one that was rejected earlier is another image.
    """
    examples = {example.image_id for one in rejected if one.stage == CLEANING for example in one.examples}
    known = parts.files.known("raw", examples)
    return {image_id: "/files/thumbnail?" + urlencode({"image_id": image_id}) for image_id in known}
