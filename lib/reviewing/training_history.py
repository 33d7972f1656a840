"""The newest trainings and evaluations, from training_metrics and evaluations."""

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

METRICS = {
    "run_id": pa.string(),
    "epoch": pa.int32(),
    "step": pa.int32(),
    "train_loss": pa.float64(),
    "validation_loss": pa.float64(),
    "validation_edit_distance": pa.float64(),
    "num_workers": pa.int32(),
    "reported_at": pa.timestamp("us", tz="UTC"),
}
EVALUATIONS = {
    "model_version": pa.string(),
    "split": pa.string(),
    "predictor": pa.string(),
    "num_images": pa.int64(),
    "exact_match": pa.float64(),
    "mean_edit_distance": pa.float64(),
    "mean_similarity": pa.float64(),
    "cider": pa.float64(),
    "evaluated_at": pa.timestamp("us", tz="UTC"),
}
NUM_RUNS = 10
NUM_EVALUATIONS = 20
NUM_POINTS = 120  # of a curve; more are averaged

Curve = list[tuple[float, float]]  # step and value


class TrainingRun(NamedTuple):
    """One training, as far as it has come; None where nothing was reported."""

    run_id: str
    num_epochs: int | None
    num_steps: int | None
    num_workers: int | None
    train_loss: float | None  # the last reported, in nats per token
    validation_loss: float | None  # the lowest
    validation_edit_distance: float | None  # the lowest
    reported_at: datetime | None  # the last report


class TrainingHistory(NamedTuple):
    """The newest trainings, and how the newest of them learned."""

    runs: list[TrainingRun]  # the newest first
    curves: dict[str, Curve]  # by name: the losses of the newest run
    distance_curve: Curve  # its validation edit distance


class Evaluation(NamedTuple):
    """A model's scores on a split."""

    model_version: str
    split: str
    num_images: int | None
    exact_match: float | None
    mean_edit_distance: float | None
    mean_similarity: float | None
    cider: float | None
    evaluated_at: datetime | None


def training_history(metrics: pa.Table) -> TrainingHistory:
    """The runs of training_metrics, columns METRICS."""
    known = metrics.filter(pc.is_valid(metrics["run_id"]))
    of_runs = known.group_by("run_id").aggregate(
        [
            *((name, "max") for name in ("epoch", "step", "num_workers", "reported_at")),
            *((name, "min") for name in ("validation_loss", "validation_edit_distance")),
        ]
    )
    newest = of_runs.sort_by([("reported_at_max", "descending"), ("run_id", "ascending")]).slice(0, NUM_RUNS)
    rows_of = {
        run_id: known.filter(pc.equal(known["run_id"], run_id)).sort_by([("step", "ascending"), ("epoch", "ascending")])
        for run_id in newest["run_id"].to_pylist()
    }
    runs = [_run(row, rows_of[row["run_id"]]) for row in newest.to_pylist()]
    if not runs:
        return TrainingHistory([], {}, [])
    rows = rows_of[runs[0].run_id]
    curves = {"train loss": _curve(rows, "train_loss"), "validation loss": _curve(rows, "validation_loss")}
    return TrainingHistory(runs, curves, _curve(rows, "validation_edit_distance"))


def newest_evaluations(evaluations: pa.Table) -> list[Evaluation]:
    """The scores of models, the newest first, of evaluations with columns EVALUATIONS; controls are left out."""
    of_models = evaluations.filter(pc.equal(evaluations["predictor"], "model"))
    newest = of_models.sort_by(
        [("evaluated_at", "descending"), ("model_version", "ascending"), ("split", "ascending")]
    ).slice(0, NUM_EVALUATIONS)
    return [
        Evaluation(row["model_version"] or "", row["split"] or "", *(row[name] for name in Evaluation._fields[2:]))
        for row in newest.to_pylist()
    ]


def _run(row: dict[str, Any], rows: pa.Table) -> TrainingRun:
    losses = rows["train_loss"].drop_null()
    return TrainingRun(
        row["run_id"],
        row["epoch_max"],
        row["step_max"],
        row["num_workers_max"],
        losses[-1].as_py() if len(losses) else None,
        row["validation_loss_min"],
        row["validation_edit_distance_min"],
        row["reported_at_max"],
    )


def _curve(rows: pa.Table, column: str) -> Curve:
    """The finite values of a column by step; means of neighbours where there are more than NUM_POINTS."""
    known = rows.filter(pc.and_(pc.is_finite(rows[column]), pc.is_valid(rows["step"])))
    steps, values = known["step"].to_numpy(), known[column].to_numpy()
    parts = np.array_split(np.arange(len(steps)), min(len(steps), NUM_POINTS)) if len(steps) else []
    return [(float(steps[part].mean()), float(values[part].mean())) for part in parts]
