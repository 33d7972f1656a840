"""The numbers of the overview, counted by hand, and the page that shows them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lib.lake.delta_rows import DeltaRows
from lib.reviewing.doubt_queue import DoubtQueue
from lib.reviewing.overview import (
    Agreement,
    Precision,
    Rejected,
    agreement_of_reviewers,
    precision_by_confidence,
    rejected_images,
    reviews_by_model,
)
from lib.reviewing.review_log import Review, Standing
from lib.reviewing.review_thresholds import Thresholds
from tests.unit.reviewing.review_page import ReviewPage, RunnableParts
from tests.unit.reviewing.reviewed_lake import fill, prediction, write

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def standing(*found: tuple[str, str, str]) -> Standing:
    """Reviews of model m1 by (image, reviewer, verdict)."""
    reviews: Standing = {}
    for image_id, reviewer, verdict in found:
        row = Review("r", image_id, "m1", f"caption of {image_id}", verdict, None, None, reviewer, None, NOON)
        reviews.setdefault((image_id, "m1"), {})[reviewer] = row
    return reviews


def test_reviews_are_counted_by_model() -> None:
    reviews = standing(("a", "anna", "accept"), ("a", "bert", "wrong"), ("b", "anna", "skip"), ("c", "anna", "correct"))
    (of_model,) = reviews_by_model(reviews)
    assert dict(of_model.num_by_verdict) == {"accept": 1, "wrong": 1, "skip": 1, "correct": 1}
    assert of_model.accepted == pytest.approx(1 / 3)  # those who skip have not judged
    assert reviews_by_model(standing(("a", "anna", "skip")))[0].accepted is None


def test_precision_by_confidence_counts_a_caption_once(tmp_path: Path) -> None:
    rows = [prediction(name, confidence) for name, confidence in (("a", 0.95), ("b", 1.0), ("c", 0.1), ("d", None))]
    write(tmp_path, "caption_predictions", rows)
    order = DoubtQueue(DeltaRows(str(tmp_path)), Thresholds(0.5, 0.55)).order()
    reviews = standing(
        ("a", "anna", "accept"),
        ("a", "bert", "wrong"),
        ("b", "anna", "accept"),
        ("c", "anna", "skip"),
        ("d", "anna", "accept"),
        ("gone", "anna", "accept"),
    )
    assert precision_by_confidence(order, reviews) == [Precision(0.9, 2, 0.75)]
    key = ("b", "m1")
    reviews[key]["anna"] = reviews[key]["anna"]._replace(caption="the one before")
    assert precision_by_confidence(order, reviews) == [Precision(0.9, 1, 0.5)]


def test_agreement_is_about_accepting() -> None:
    reviews = standing(
        ("a", "bert", "wrong"),
        ("a", "anna", "correct"),
        ("b", "anna", "accept"),
        ("b", "bert", "wrong"),
        ("c", "anna", "accept"),
        ("c", "bert", "skip"),
        ("d", "carla", "accept"),
    )
    assert agreement_of_reviewers(reviews) == [Agreement("anna", "bert", 2, 0.5)]


def test_rejected_images_are_counted_by_reason(tmp_path: Path) -> None:
    reasons = ["blank_image", "empty_file", "blank_image"]
    write(
        tmp_path,
        "images_rejected",
        [{"image_id": str(n), "stage": "clean", "reason": r} for n, r in enumerate(reasons)],
    )
    found = rejected_images(DeltaRows(str(tmp_path)))
    assert found == [Rejected("clean", "blank_image", 2), Rejected("clean", "empty_file", 1)]


def test_the_page_shows_the_numbers_as_charts_that_need_no_network(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    write(tmp_path, "images_rejected", [{"image_id": "x", "stage": "clean", "reason": "blank_image"}])
    page = ReviewPage(tmp_path)
    assert "Nothing has been reviewed yet" in page.get("/overview").text
    page.review("image-003", "accept")
    page.review("image-002", "wrong")
    shown = page.get("/overview").text
    assert 'aria-label="Verdicts: accept 1, wrong 1, correct 0, skip 0"' in shown
    assert "0.8 to 0.9 1.00 of 1" in shown
    assert "blank_image (clean) 1" in shown
    assert RunnableParts(shown).found == []
