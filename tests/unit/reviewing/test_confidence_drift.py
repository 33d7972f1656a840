"""The drift of confidences is that of the view: against plain Python here, and the view itself in tests/spark/sql."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lib.reviewing.caption_quality import PREDICTIONS
from lib.reviewing.confidence_drift import Drift, confidence_drift
from tests.ray import views_in_python
from tests.unit.reviewing.reviewed_lake import NIGHT


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, pa.schema(list(PREDICTIONS.items())))


def row(split: str | None, confidence: float | None, day: int = 0, model: str = "m1") -> dict[str, Any]:
    predicted_at = NIGHT + timedelta(days=day)
    return {"model_version": model, "confidence": confidence, "split": split, "predicted_at": predicted_at}


def random_rows(num_rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Confidences of two places, so that many equal an edge."""
    rng = np.random.default_rng(seed)
    splits = rng.choice(["train", "validation", "test", "none"], num_rows, p=[0.2, 0.3, 0.3, 0.2])
    confidences = np.round(rng.random(num_rows), 2)
    return [
        row(None if split == "none" else str(split), float(confidence), int(day))
        for split, confidence, day in zip(splits, confidences, rng.integers(0, 5, num_rows), strict=True)
    ]


@pytest.mark.parametrize("num_rows", [40, 3000])
def test_the_drift_is_that_of_the_definition(num_rows: int) -> None:
    rows = [*random_rows(num_rows), row("test", float("nan")), row("test", None)]
    expected = sorted(views_in_python.confidence_drift(rows), key=lambda one: one["day"], reverse=True)
    found = [drift._asdict() for drift in confidence_drift(table(rows))]
    assert [one["day"] for one in found] == [one["day"] for one in expected]
    for mine, theirs in zip(found, expected, strict=True):
        assert mine == {
            name: pytest.approx(value) if isinstance(value, float) else value for name, value in theirs.items()
        }


def test_a_model_without_validation_images_has_no_index() -> None:
    rows = [row("test", 0.25), row(None, 0.75), row("train", 1.0), row("validation", 0.9, model="m2")]
    assert confidence_drift(table(rows)) == [Drift(date(2026, 1, 1), "m1", 2, None, 0.5, None, None)]
    assert confidence_drift(table([])) == []


def test_the_index_of_few_captions_tells_nothing() -> None:
    many = [row("validation", number / 300) for number in range(300)]
    days = confidence_drift(table([*many, *(row("test", number / 300) for number in range(300)), row("test", 0.5, 1)]))
    assert [drift.is_telling for drift in days] == [False, True]
    assert days[1].psi == pytest.approx(0, abs=0.01)
