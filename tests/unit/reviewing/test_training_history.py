"""The newest trainings with their curves, and the newest scores of models."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from lib.reviewing.training_history import EVALUATIONS, METRICS, TrainingRun, newest_evaluations, training_history
from tests.unit.reviewing.reviewed_lake import NIGHT


def metrics(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), pa.schema(list(METRICS.items())))


def test_a_run_is_told_by_its_last_loss_and_its_best_validation() -> None:
    later = NIGHT + timedelta(hours=1)
    history = training_history(
        metrics(
            {"run_id": "old", "epoch": 1, "step": 9, "train_loss": 1.0, "reported_at": NIGHT},
            {"run_id": "new", "epoch": 2, "step": 20, "train_loss": 0.5, "validation_loss": 0.9, "reported_at": later},
            {
                "run_id": "new",
                "epoch": 1,
                "step": 10,
                "train_loss": 0.8,
                "validation_loss": 0.7,
                "validation_edit_distance": 4.0,
                "num_workers": 2,
                "reported_at": NIGHT,
            },
        )
    )
    assert history.runs == [
        TrainingRun("new", 2, 20, 2, 0.5, 0.7, 4.0, later),
        TrainingRun("old", 1, 9, None, 1.0, None, None, NIGHT),
    ]
    assert history.curves == {"train loss": [(10, 0.8), (20, 0.5)], "validation loss": [(10, 0.7), (20, 0.9)]}
    assert history.distance_curve == [(10, 4.0)]


def test_a_long_curve_is_averaged_and_what_is_no_number_is_left_out() -> None:
    rows = [{"run_id": "m", "step": step, "train_loss": float(step)} for step in range(1200)]
    curve = training_history(metrics(*rows, {"run_id": "m", "step": 0, "train_loss": float("nan")})).curves[
        "train loss"
    ]
    assert len(curve) == 120
    assert curve[0] == (pytest.approx(4.5), pytest.approx(4.5))


def test_evaluations_of_models_are_shown_without_controls() -> None:
    rows = [
        {"model_version": "m1", "split": "test", "predictor": "model", "exact_match": 0.5, "evaluated_at": NIGHT},
        {"model_version": "m1", "split": "test", "predictor": "constant_caption", "evaluated_at": NIGHT},
        {"model_version": "m2", "split": "test", "predictor": "model", "evaluated_at": NIGHT + timedelta(days=1)},
    ]
    found = newest_evaluations(pa.Table.from_pylist(rows, pa.schema(list(EVALUATIONS.items()))))
    assert [(one.model_version, one.exact_match) for one in found] == [("m2", None), ("m1", 0.5)]
