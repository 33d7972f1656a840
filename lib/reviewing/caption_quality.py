"""How good captions are: by day, by model and by length of the reference.

The views quality_by_day, quality_by_model and quality_by_caption_length give such numbers by split. Here images of the
train split are left out: a model is better on what it has learned from.
"""

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

PREDICTIONS = {
    "model_version": pa.string(),
    "confidence": pa.float64(),
    "reference": pa.string(),
    "edit_distance": pa.int32(),
    "similarity": pa.float64(),
    "split": pa.string(),
    "predicted_at": pa.timestamp("us", tz="UTC"),
}
NUM_DAYS = 60  # the newest
NUM_MODELS = 12  # the newest
LENGTH_STEP = 25  # characters, as in the view
LONG_FROM = 975  # characters; longer references are counted together


class Quality(NamedTuple):
    """Scores of a group of captions; None where no caption of the group has one."""

    group: str
    num_captions: int
    exact_match: float | None
    mean_edit_distance: float | None
    mean_similarity: float | None
    mean_confidence: float | None


class CaptionQuality(NamedTuple):
    """The scores of all captions outside the train split."""

    by_day: list[Quality]  # the oldest first; group is the day
    by_model: list[Quality]  # the newest first
    newest_model: str | None
    by_length: list[Quality]  # of the newest model; the shortest first


def caption_quality(predictions: pa.Table) -> CaptionQuality:
    """Measure predictions, columns PREDICTIONS."""
    is_unseen = pc.not_equal(pc.fill_null(predictions["split"], ""), "train")
    measured = _measured(predictions.filter(is_unseen))
    by_day = [_quality(str(row["day"]), row) for row in _grouped(measured, "day").sort_by("day").to_pylist()]
    by_model = [
        _quality(row["model_version"], row)
        for row in _grouped(measured, "model_version")
        .sort_by([("predicted_at_max", "descending"), ("model_version", "ascending")])
        .to_pylist()
    ]
    newest_model = by_model[0].group if by_model else None
    of_newest = measured.filter(pc.equal(measured["model_version"], newest_model))
    lengths = _grouped(of_newest, "length_from").sort_by("length_from").to_pylist()
    by_length = [_quality(_range_of(row["length_from"]), row) for row in lengths]
    return CaptionQuality(by_day[-NUM_DAYS:], by_model[:NUM_MODELS], newest_model, by_length)


def without_nan(confidence: pa.ChunkedArray) -> pa.ChunkedArray:
    """The confidences, null where one is no number."""
    return pc.if_else(pc.is_nan(confidence), pa.scalar(None, pa.float64()), confidence)


def _measured(predictions: pa.Table) -> pa.Table:
    """A row a caption: the groups that it is in, and its scores."""
    distance = predictions["edit_distance"]
    steps = pc.floor(pc.divide(pc.cast(pc.utf8_length(predictions["reference"]), pa.float64()), LENGTH_STEP))
    length_from = pc.min_element_wise(pc.cast(pc.multiply(steps, LENGTH_STEP), pa.int32()), LONG_FROM)
    is_measurable = pc.and_(pc.is_valid(distance), pc.is_valid(predictions["reference"]))
    return pa.table(
        {
            "day": pc.cast(predictions["predicted_at"], pa.date32()),
            "model_version": predictions["model_version"],
            "length_from": pc.if_else(is_measurable, length_from, pa.scalar(None, length_from.type)),
            "is_exact": pc.cast(pc.equal(distance, 0), pa.float64()),
            "edit_distance": distance,
            "similarity": predictions["similarity"],
            "confidence": without_nan(predictions["confidence"]),
            "predicted_at": predictions["predicted_at"],
        }
    )


def _grouped(measured: pa.Table, group: str) -> pa.Table:
    means = [(name, "mean") for name in ("is_exact", "edit_distance", "similarity", "confidence")]
    known = measured.filter(pc.is_valid(measured[group]))
    return known.group_by(group).aggregate([*means, ("predicted_at", "max"), ([], "count_all")])


def _quality(group: str, row: dict[str, float]) -> Quality:
    return Quality(
        group,
        int(row["count_all"]),
        row["is_exact_mean"],
        row["edit_distance_mean"],
        row["similarity_mean"],
        row["confidence_mean"],
    )


def _range_of(length_from: int) -> str:
    return f"{length_from} or more" if length_from == LONG_FROM else f"{length_from} to {length_from + LENGTH_STEP - 1}"
