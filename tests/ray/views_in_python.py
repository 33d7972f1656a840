"""What each view of sql/ must show of a lake with one model, reckoned again in plain Python from the tables' rows."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC
from math import ceil, exp, floor, isnan
from typing import Any

import numpy as np

Row = dict[str, Any]
MIN_CONFIDENCE, MIN_SENTENCE_CONFIDENCE, MIN_SIMILARITY = 0.50, 0.30, 0.55
MAX_ALTERNATIVE_PROBABILITY = 0.50
NEWEST = (
    "image_id",
    "caption",
    "confidence",
    "is_valid",
    "alternatives",
    "reference",
    "edit_distance",
    "similarity",
    "split",
    "model_version",
    "cleaning_version",
    "predicted_at",
)
REVIEWED = (
    "image_id",
    "caption",
    "reference",
    "confidence",
    "is_valid",
    "edit_distance",
    "similarity",
    "split",
    "model_version",
    "predicted_at",
)


def expected_views(tables: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Rows of every view by its name."""
    predictions = tables["caption_predictions"]
    scored = [row for row in predictions if row["edit_distance"] is not None]
    return {
        "newest_captions": [only(row, NEWEST) for row in predictions],
        "review_thresholds": [
            {
                "min_confidence": MIN_CONFIDENCE,
                "min_sentence_confidence": MIN_SENTENCE_CONFIDENCE,
                "max_alternative_probability": MAX_ALTERNATIVE_PROBABILITY,
                "min_similarity": MIN_SIMILARITY,
            }
        ],
        "captions_to_review": [
            only(row, REVIEWED) | {"reasons": reasons} for row in predictions if (reasons := reasons_to_review(row))
        ],
        "quality_by_model": quality_by_model(tables["evaluations"]),
        "sentence_quality_by_model": [],  # molecules are not scored as sentences
        "quality_by_day": quality_by_day(predictions, quality_by_model(tables["evaluations"])),
        "quality_by_caption_length": quality_by(
            scored,
            lambda row: 25 * (len(row["reference"]) // 25),
            "length_from",
            lambda start: {"length_to": start + 24},
        ),
        "quality_by_confidence": [
            {name: value for name, value in row.items() if name != "mean_edit_distance"}
            for row in quality_by(
                scored,
                lambda row: min(floor(10 * row["confidence"]), 9) / 10,
                "confidence_from",
                lambda start: {"confidence_to": start + 0.1},
            )
        ],
        "confidence_drift": confidence_drift(predictions),
        "rejects_by_reason": rejects_by_reason(tables["images_rejected"], len(tables["images_raw"])),
        "molecule_finder": [found(row, "reference") for row in tables["captions"] if is_inchi(row["caption"])]
        + [found(row, "prediction") for row in predictions if is_inchi(row["caption"])],
        "caption_history": [
            {name: row[name] for name in row if name != "alternatives"}
            | {"version_number": 1, "caption_before": None, "is_changed": None, "edit_distance_change": None}
            for row in predictions
        ],
        "model_lineage": [lineage(tables["training_metrics"], predictions)],
    }


def only(row: Row, names: Iterable[str]) -> Row:
    return {name: row[name] for name in names}


def mean(values: Iterable[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def groups(rows: list[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def reasons_to_review(row: Row) -> str:
    judged = {
        "no caption": not row["caption"],
        "invalid": row["is_valid"] is False,
        "low confidence": row["confidence"] < MIN_CONFIDENCE,
        "disputed": bool(row["alternatives"]) and exp(row["alternatives"][0]["score"]) > MAX_ALTERNATIVE_PROBABILITY,
        "far from the reference": row["similarity"] is not None and row["similarity"] < MIN_SIMILARITY,
    }
    return ", ".join(reason for reason, is_so in judged.items() if is_so)


def scores(rows: list[Row]) -> Row:
    return {
        "num_captions": len(rows),
        "exact_match": mean(row["edit_distance"] == 0 for row in rows),
        "mean_edit_distance": mean(row["edit_distance"] for row in rows),
        "mean_similarity": mean(row["similarity"] for row in rows),
        "valid_share": mean(row["is_valid"] for row in rows),
        "mean_confidence": mean(row["confidence"] for row in rows),
    }


def quality_by(rows: list[Row], index: Callable[[Row], float], start: str, end: Callable[[float], Row]) -> list[Row]:
    by_place = groups(rows, lambda row: (row["model_version"], row["split"], index(row)))
    return [
        {"model_version": model, "split": split, start: first} | end(first) | scores(members)
        for (model, split, first), members in by_place.items()
    ]


def quality_by_model(evaluations: list[Row]) -> list[Row]:
    found = []
    for members in groups(evaluations, lambda row: row["split"]).values():
        model, constant, shuffled = (
            next(row for row in members if row["predictor"] == name)
            for name in ("model", "constant_caption", "shuffled_pictures")
        )
        names = (
            "model_version",
            "split",
            "num_images",
            "exact_match",
            "mean_edit_distance",
            "mean_similarity",
            "valid_share",
            "mean_confidence",
            "evaluated_at",
        )
        chance = max(constant["mean_similarity"], shuffled["mean_similarity"] or 0)
        found.append(
            only(model, names)
            | {
                "constant_caption_distance": constant["mean_edit_distance"],
                "constant_caption_similarity": constant["mean_similarity"],
                "shuffled_pictures_distance": shuffled["mean_edit_distance"],
                "shuffled_pictures_similarity": shuffled["mean_similarity"],
                "similarity_above_chance": model["mean_similarity"] - chance,
            }
        )
    return found


def quality_by_day(predictions: list[Row], by_model: list[Row]) -> list[Row]:
    found = []
    by_day = groups(predictions, lambda row: (row["predicted_at"].astimezone(UTC).date(), row["split"]))
    for (day, split), members in by_day.items():
        (of_split,) = (row for row in by_model if row["split"] == split)
        controls = {name: value for name, value in of_split.items() if name.startswith(("constant_", "shuffled_"))}
        named = {"day": day, "split": split, "model_version": members[0]["model_version"], "num_scored": len(members)}
        found.append(named | scores(members) | controls)
    return found


def percentile(ordered: list[float], fraction: float) -> float:
    """As Spark computes it, to the last bit: a value that equals an edge must lie on the same side of it."""
    index = (len(ordered) - 1) * fraction
    low, high = floor(index), ceil(index)
    if ordered[low] == ordered[high]:
        return ordered[low]
    return (high - index) * ordered[low] + (index - low) * ordered[high]


def confidence_drift(predictions: list[Row]) -> list[Row]:
    sure = [row for row in predictions if row["confidence"] is not None and not isnan(row["confidence"])]
    validation = [row["confidence"] for row in sure if row["split"] == "validation"]
    edges = [percentile(sorted(validation), tenth / 10) for tenth in range(1, 10)]

    def fractions(confidences: list[float]) -> np.ndarray:
        tenths = np.searchsorted(edges, confidences, side="left")  # the number of edges below each
        return (np.bincount(tenths, minlength=10) + 0.5) / (len(confidences) + 5)

    found = []
    others = [row for row in sure if row["split"] not in ("train", "validation")]
    for day, members in groups(others, lambda row: row["predicted_at"].astimezone(UTC).date()).items():
        confidences = [row["confidence"] for row in members]
        seen, known = fractions(confidences), fractions(validation)
        found.append(
            {
                "day": day,
                "model_version": members[0]["model_version"],
                "num_captions": len(members),
                "num_validation_captions": len(validation),
                "mean_confidence": mean(confidences),
                "validation_confidence": mean(validation),
                "psi": float(((seen - known) * np.log(seen / known)).sum()),
            }
        )
    return found


def rejects_by_reason(rejected: list[Row], num_raw: int) -> list[Row]:
    """Of images that cleaning refused."""
    found = []
    for (stage, reason), members in groups(rejected, lambda row: (row["stage"], row["reason"])).items():
        assert stage == "clean"
        last = max(members, key=lambda row: (row["rejected_at"], row["source"]))
        found.append(
            {
                "stage": stage,
                "reason": reason,
                "num_rejected": len(members),
                "share_of_pictures": len(members) / num_raw,
                "first_rejected_at": min(row["rejected_at"] for row in members),
                "last_rejected_at": last["rejected_at"],
                "example_source": last["source"],
                "example_detail": last["detail"],
            }
        )
    return found


def is_inchi(text: str) -> bool:
    return re.match(r"InChI=1.*/", text) is not None


def found(row: Row, found_in: str) -> Row:
    layers = row["caption"].split("/")[1:]
    of_model = {name: row.get(name) for name in ("is_valid", "confidence", "model_version")}
    named = {"image_id": row["image_id"], "found_in": found_in, "inchi": row["caption"]}
    return named | of_model | {"formula": layers[0] if layers[0][:1].isupper() or layers[0][:1].isdigit() else ""}


def lineage(metrics: list[Row], predictions: list[Row]) -> Row:
    validated = [row for row in metrics if row["validation_loss"] is not None]
    return {
        "model_version": metrics[0]["run_id"],
        "num_epochs": max(row["epoch"] for row in metrics),
        "num_steps": max(row["step"] for row in metrics),
        "num_workers": 2,
        "last_validation_loss": max(validated, key=lambda row: row["step"])["validation_loss"],
        "trained_from": min(row["reported_at"] for row in metrics),
        "trained_to": max(row["reported_at"] for row in metrics),
        "num_captions": len(predictions),
        "cleaning_versions": sorted({row["cleaning_version"] for row in predictions}),
        "predicted_from": min(row["predicted_at"] for row in predictions),
        "predicted_to": max(row["predicted_at"] for row in predictions),
    }
