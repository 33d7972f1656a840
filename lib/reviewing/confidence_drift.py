"""Drift of confidence between new images and validation images; equals the view confidence_drift.

The view's file says what the population stability index is and what it means; here it is computed without Spark.
"""

from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.lake.drift_limits import NUM_TELLING
from lib.reviewing.caption_quality import without_nan

NUM_TENTHS = 10
ADDED = 0.5  # images, to each tenth


class Drift(NamedTuple):
    """The confidences of one day and model beside those of the model's captions of validation images."""

    day: date
    model_version: str
    num_captions: int
    num_validation_captions: int | None  # None = there are none, nor the next two
    mean_confidence: float
    validation_confidence: float | None
    psi: float | None  # population stability index, from 0

    @property
    def is_telling(self) -> bool:
        """Whether there are captions enough for the index to mean anything."""
        return min(self.num_captions, self.num_validation_captions or 0) >= NUM_TELLING


def confidence_drift(predictions: pa.Table) -> list[Drift]:
    """The drift of each day and model, the newest day first; of predictions with the columns of caption_quality."""
    known = pc.and_(pc.is_valid(without_nan(predictions["confidence"])), pc.is_valid(predictions["predicted_at"]))
    sure = predictions.filter(known)
    found = [
        drift
        for model in pc.unique(sure["model_version"]).drop_null().to_pylist()
        for drift in _drift_of(model, sure.filter(pc.equal(sure["model_version"], model)))
    ]
    return sorted(found, key=lambda drift: (drift.day, drift.model_version), reverse=True)


def _drift_of(model_version: str, predictions: pa.Table) -> list[Drift]:
    split = pc.fill_null(predictions["split"], "none")
    validation = predictions.filter(pc.equal(split, "validation"))["confidence"].to_numpy()
    others = predictions.filter(pc.invert(pc.is_in(split, pa.array(["train", "validation"]))))
    confidences = others["confidence"].to_numpy()
    days, day_of = np.unique(pc.cast(others["predicted_at"], pa.date32()).to_numpy(), return_inverse=True)
    counts = np.bincount(day_of, minlength=len(days))
    means = np.bincount(day_of, confidences, len(days)) / counts
    indexes: list[float | None] = [None] * len(days)
    if len(validation):
        edges = _edges(np.sort(validation))
        of_days = np.zeros((len(days), NUM_TENTHS))
        np.add.at(of_days, (day_of, _tenths(confidences, edges)), 1)
        expected = _fractions(np.bincount(_tenths(validation, edges), minlength=NUM_TENTHS))
        seen = _fractions(of_days)
        indexes = ((seen - expected) * np.log(seen / expected)).sum(axis=-1).tolist()
    of_validation = (len(validation), float(validation.mean())) if len(validation) else (None, None)
    return [
        Drift(day, model_version, int(count), of_validation[0], float(mean), of_validation[1], index)
        for day, count, mean, index in zip(days.tolist(), counts, means, indexes, strict=True)
    ]


def _edges(ordered: Any) -> Any:
    """The nine edges between tenths of sorted values, to the last bit as Spark's percentile gives them."""
    position = (len(ordered) - 1) * (np.arange(1, NUM_TENTHS) / NUM_TENTHS)
    low, high = np.floor(position).astype(int), np.ceil(position).astype(int)
    between = (high - position) * ordered[low] + (position - low) * ordered[high]
    return np.where(ordered[low] == ordered[high], ordered[low], between)


def _tenths(confidences: Any, edges: Any) -> Any:
    """The number of edges below each confidence."""
    return np.searchsorted(edges, confidences, side="left")


def _fractions(counts: Any) -> Any:
    """Fractions of counts (..., 10), never 0."""
    return (counts + ADDED) / (counts.sum(axis=-1, keepdims=True) + NUM_TENTHS * ADDED)
