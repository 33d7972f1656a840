"""Scores by day, model and length, counted by hand."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from lib.reviewing.caption_quality import PREDICTIONS, Quality, caption_quality
from tests.unit.reviewing.reviewed_lake import NIGHT

DAY_2 = NIGHT + timedelta(days=1)


def row(
    model: str, reference: str | None, distance: int | None, confidence: float | None, **others: Any
) -> dict[str, Any]:
    scored = {"reference": reference, "edit_distance": distance, "similarity": 0.5 if reference else None}
    named = {"model_version": model, "confidence": confidence, "split": "test" if reference else None}
    return named | scored | {"predicted_at": NIGHT} | others


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), pa.schema(list(PREDICTIONS.items())))


def test_captions_are_scored_by_day_model_and_length_without_the_train_split() -> None:
    quality = caption_quality(
        table(
            row("m1", "C" * 24, 0, 0.9),
            row("m1", "C" * 24, 4, 0.5),
            row("m1", None, None, 0.4),
            row("m1", "C", 0, 1.0, split="train"),
            row("m2", "C" * 25, 0, 0.8, predicted_at=DAY_2),
            row("m2", "C" * 24, 6, None, predicted_at=DAY_2),
        )
    )
    day_1 = Quality("2026-01-01", 3, 0.5, 2.0, 0.5, pytest.approx(0.6))
    day_2 = Quality("2026-01-02", 2, 0.5, 3.0, 0.5, 0.8)
    assert quality.by_day == [day_1, day_2]
    assert quality.by_model == [day_2._replace(group="m2"), day_1._replace(group="m1")]
    assert quality.newest_model == "m2"
    assert quality.by_length == [Quality("0 to 24", 1, 0.0, 6.0, 0.5, None), Quality("25 to 49", 1, 1.0, 0.0, 0.5, 0.8)]


def test_very_long_references_are_one_group_and_a_confidence_that_is_no_number_is_left_out() -> None:
    quality = caption_quality(
        table(row("m1", "C" * 975, 0, float("nan")), row("m1", "C" * 5000, 2, 0.5), row("m1", "é" * 24, 0, 0.5))
    )
    assert [(one.group, one.num_captions) for one in quality.by_length] == [("0 to 24", 1), ("975 or more", 2)]
    assert quality.by_length[1].mean_confidence == 0.5


def test_the_newest_days_and_models_are_shown() -> None:
    rows = [row(f"m{number:03}", "C", 0, 0.5, predicted_at=NIGHT + timedelta(days=number)) for number in range(100)]
    quality = caption_quality(table(*rows))
    assert (quality.by_day[0].group, quality.by_day[-1].group) == ("2026-02-10", "2026-04-10")
    assert [one.group for one in quality.by_model] == [f"m{number:03}" for number in range(99, 87, -1)]


def test_without_captions_there_are_no_scores() -> None:
    assert caption_quality(table()) == ([], [], None, [])
    nameless = caption_quality(table(row("m1", "C", 0, 0.5) | {"model_version": None, "predicted_at": None}))
    assert nameless == ([], [], None, [])
