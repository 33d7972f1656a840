"""The numbers of the overview, counted by hand, and the page that shows them."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lib.lake.delta_rows import DeltaRows
from lib.reviewing.doubt_queue import DoubtQueue
from lib.reviewing.overview import (
    Precision,
    ReviewAgreement,
    agreement_of_reviewers,
    precision_by_confidence,
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
    order = DoubtQueue(DeltaRows(str(tmp_path)), Thresholds(0.5, 0.3, 0.5, 0.55)).order()
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
    assert agreement_of_reviewers(reviews) == [ReviewAgreement("anna", "bert", 2, 0.5)]


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
    assert '<h3>blank_image <span class="soft">(clean)</span></h3>' in shown
    assert RunnableParts(shown).found == []


def test_the_page_shows_quality_drift_trainings_and_evaluations(tmp_path: Path) -> None:
    rows = [
        prediction(str(number), number / 9, reference="C" * 30, edit_distance=number % 2, similarity=0.9, split=split)
        for split in ("test", "validation")
        for number in range(10)
    ]
    write(tmp_path, "caption_predictions", rows)
    write(
        tmp_path,
        "training_metrics",
        [{"run_id": "m1", "epoch": 0, "step": step, "train_loss": 3 - step / 100} for step in (100, 200)],
    )
    write(
        tmp_path,
        "evaluations",
        [{"model_version": "m1", "split": "test", "predictor": "model", "num_images": 10, "mean_edit_distance": 0.5}],
    )
    shown = ReviewPage(tmp_path, dataset="molecules").get("/overview").text
    assert 'aria-label="By day: exact from 0.50 to 0.50, confidence from 0.50 to 0.50"' in shown
    assert '<th scope="row">25 to 49</th><td class="number">20</td><td class="number">0.50</td>' in shown
    assert 'aria-label="Loss in nats per token, by step: train loss from 2.00 to 1.00"' in shown
    assert '<th scope="row">m1</th><td>test</td>' in shown
    assert "Population stability index" in shown
    assert "few captions" in shown
    assert RunnableParts(shown).found == []
    of_sentences = ReviewPage(tmp_path, dataset="photos").get("/overview").text
    assert "similarity from 0.90 to 0.90" in of_sentences
    assert "CIDEr" in of_sentences


def test_without_tables_each_part_is_one_sentence(tmp_path: Path) -> None:
    shown = ReviewPage(tmp_path).get("/overview")
    assert shown.status_code == 200
    for sentence in (
        "Nothing has been reviewed yet.",
        "There are no captions outside the train split yet.",
        "No caption of an image outside train and validation has a confidence yet.",
        "Nothing has been trained in this lake yet.",
        "No model has been evaluated yet.",
        "No image was rejected.",
    ):
        assert sentence in shown.text


@pytest.mark.parametrize(
    "name", ["caption_predictions", "training_metrics", "evaluations", "images_rejected", "images_raw"]
)
@pytest.mark.parametrize("is_in_rows", [True, False])
def test_a_table_that_is_half_written_costs_its_own_part_alone(tmp_path: Path, name: str, is_in_rows: bool) -> None:
    fill(tmp_path, 2)
    write(tmp_path, "training_metrics", [{"run_id": "m1", "step": 1, "train_loss": 1.0}])
    write(tmp_path, "evaluations", [{"model_version": "m1", "split": "test", "predictor": "model"}])
    write(tmp_path, "images_rejected", [{"image_id": "x", "stage": "clean", "reason": "blank_image"}])
    damaged = (tmp_path / name).glob("*.parquet") if is_in_rows else (tmp_path / name / "_delta_log").glob("*.json")
    for file in list(damaged):
        file.write_bytes(file.read_bytes()[:-30])
    shown = ReviewPage(tmp_path).get("/overview")
    assert shown.status_code == 200
    assert shown.text.count(f"Table {name} cannot be read") in (1, 2, 3)
    parts = {"images_rejected": "blank_image", "training_metrics": "Newest trainings", "evaluations": "m1"}
    assert all(text in shown.text for part, text in parts.items() if part != name)


def test_a_table_with_a_column_of_another_kind_is_said_to_be_unreadable(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "training_metrics"), pa.table({"run_id": ["m1"], "step": ["many"]}))
    shown = ReviewPage(tmp_path).get("/overview")
    assert shown.status_code == 200
    assert "Table training_metrics cannot be read" in shown.text


def test_figures_that_are_no_numbers_are_no_error(tmp_path: Path) -> None:
    nan = float("nan")
    write(tmp_path, "caption_predictions", [prediction("a", nan, predicted_at=None), prediction("b", None)])
    write(tmp_path, "training_metrics", [{"run_id": None}, {"run_id": "m1", "train_loss": nan, "validation_loss": nan}])
    write(tmp_path, "evaluations", [{"predictor": "model", "exact_match": nan}])
    write(tmp_path, "images_rejected", [{}])
    page = ReviewPage(tmp_path)
    assert page.review("a", "accept").status_code == 200
    assert page.get("/overview").status_code == 200
