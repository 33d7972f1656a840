"""Predictions in order of doubt: malformed captions, those far from their reference, doubtful ones, then the others."""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.lake.delta_rows import DeltaRows
from lib.reviewing.queue_filters import ALL_MODELS, REASONS, QueueFilters
from lib.reviewing.review_log import Standing
from lib.reviewing.review_thresholds import Thresholds
from lib.reviewing.table_cache import TableCache

TABLE = "caption_predictions"
QUEUE_COLUMNS = {
    "image_id": pa.string(),
    "model_version": pa.string(),
    "caption": pa.string(),
    "confidence": pa.float64(),
    "is_valid": pa.bool_(),
    "alternatives": pa.list_(pa.struct([("caption", pa.string()), ("score", pa.float64())])),
    "reference": pa.string(),
    "similarity": pa.float64(),
    "predicted_at": pa.timestamp("us", tz="UTC"),
}
NOT_SHOWN = ["reference", "alternatives"]  # in the queue; read for the reasons
KEY = ["image_id", "model_version"]
FORMULA = re.compile(r"(?=.*\d)(?:[A-Z][a-z]?\d*){2,}")  # as C9H8O4 is one
JUDGED = ("accept", "wrong", "correct")


class Page(NamedTuple):
    """Rows of the queue: QUEUE_COLUMNS without NOT_SHOWN, `reasons` and `day`."""

    rows: list[dict[str, Any]]
    num_found: int  # on all pages
    is_last: bool


@dataclass(frozen=True)
class DoubtOrder:
    """All predictions, sorted; an index below is a row's index in this order."""

    rows: pa.Table
    is_of_reason: dict[str, Any]  # by reason, (N,) whether the row has it
    is_malformed: Any  # (N,) whether the row has no caption, or one that is malformed: it cannot be right
    index_of: dict[tuple[str, str], int]  # by image_id and model_version
    models: list[str]  # the newest first

    def matching(self, filters: QueueFilters, standing: Standing, reviewer: str) -> Any:
        """The indices of the rows that the filters leave, ascending."""
        keep = np.ones(self.rows.num_rows, bool)
        model = self._model_of(filters)
        if model != ALL_MODELS:
            keep &= _flags(pc.equal(self.rows["model_version"], model))
        if filters.day:
            keep &= _flags(pc.equal(self.rows["day"], filters.day))
        if filters.reason:
            keep &= self.is_of_reason[filters.reason]
        if filters.confidence_from:
            keep &= _flags(pc.greater_equal(self.rows["confidence"], float(filters.confidence_from)))
        if filters.confidence_to:
            keep &= _flags(pc.less_equal(self.rows["confidence"], float(filters.confidence_to)))
        for word in filters.text.split():
            keep &= self._has(word)
        if filters.state != "all":
            keep &= self._in_state(filters.state, standing, reviewer)
        return np.flatnonzero(keep)

    def days_of(self, filters: QueueFilters) -> list[str]:
        """The days of the predictions of the model that the filters name, and the day that they name; newest first."""
        model, days = self._model_of(filters), self.rows["day"]
        if model != ALL_MODELS:
            days = days.filter(pc.equal(self.rows["model_version"], model))
        return sorted(filter(None, {*pc.unique(days).to_pylist(), filters.day}), reverse=True)

    def _model_of(self, filters: QueueFilters) -> str:
        return filters.model or (self.models[0] if self.models else "")

    def page(self, matching: Any, after: tuple[str, str] | None, num_rows: int) -> Page:
        """The rows that match, from the one after the row with that key; from the first if there is no such row."""
        start = self.start_after(matching, after)
        chosen = matching[start : start + num_rows]
        rows = self.rows.take(pa.array(chosen)).to_pylist()
        for row, index in zip(rows, chosen, strict=True):
            row["reasons"] = [words for name, words in REASONS.items() if self.is_of_reason[name][index]]
        return Page(rows, len(matching), start + num_rows >= len(matching))

    def start_after(self, matching: Any, key: tuple[str, str] | None) -> int:
        """Where in `matching` the rows begin that come after the row with that key, itself in `matching` or not."""
        index = self.index_of.get(key, -1) if key else -1
        return int(np.searchsorted(matching, index, side="right"))

    def neighbour(self, matching: Any, key: tuple[str, str], step: int) -> tuple[str, str] | None:
        """The key of the row that matches and comes next (step 1) or before (step -1); None at the end."""
        after = self.start_after(matching, key)
        index = self.index_of.get(key, -1)
        found = after if step == 1 else int(np.searchsorted(matching, index, side="left")) - 1
        if not 0 <= found < len(matching):
            return None
        row = int(matching[found])
        return self.rows["image_id"][row].as_py(), self.rows["model_version"][row].as_py()

    def _has(self, word: str) -> Any:
        """(N,) which rows have the word in their image_id or caption; in an InChI a formula is the whole formula."""
        in_ids = _flags(pc.match_substring(self.rows["image_id"], word, ignore_case=True))
        captions = self.rows["caption"]
        in_captions = _flags(pc.match_substring(captions, word, ignore_case=True))
        if FORMULA.fullmatch(word):
            is_inchi = _flags(pc.starts_with(captions, "InChI="))
            in_captions &= ~is_inchi | _flags(pc.match_substring_regex(captions, f"^InChI=1S?/{word}(/|$)"))
        return in_ids | in_captions

    def _in_state(self, state: str, standing: Standing, reviewer: str) -> Any:
        """(N,) which rows are in the state; a review of a caption that was replaced since does not count."""
        found = np.zeros(self.rows.num_rows, bool)
        for key, of_key in standing.items():
            if key not in self.index_of:
                continue
            caption = self.rows["caption"][self.index_of[key]].as_py()
            reviews = {name: review for name, review in of_key.items() if review.caption == caption}
            is_judged = any(review.verdict in JUDGED for review in reviews.values())
            found[self.index_of[key]] = reviewer in reviews if state == "mine" else is_judged
            if state == "open":
                found[self.index_of[key]] = is_judged or reviewer in reviews
        return ~found if state == "open" else found


class DoubtQueue:
    """The order of a lake's predictions, made again when the table has changed. May be used by threads."""

    def __init__(self, rows: DeltaRows, thresholds: Thresholds) -> None:
        self._cache = TableCache(rows, TABLE, QUEUE_COLUMNS, lambda predictions: in_order(predictions, thresholds))

    def order(self) -> DoubtOrder:
        """The predictions as they stand; as they stood before, while many are read. Raises UnreadableTableError."""
        return self._cache.newest()


def in_order(predictions: pa.Table, thresholds: Thresholds) -> DoubtOrder:
    """Sort predictions: malformed, far, unsure or disputed, and other ones, each by confidence."""
    of_reason = _reasons(predictions, thresholds)
    is_malformed = of_reason["no_caption"] | of_reason["invalid"]
    is_doubtful = of_reason["low_confidence"] | of_reason["disputed"]
    doubt = np.select([is_malformed, of_reason["far"], is_doubtful], [0, 1, 2], 3)
    keys = predictions.select(KEY)
    keys = keys.add_column(0, "confidence", pc.fill_null(predictions["confidence"], -1.0))
    keys = keys.add_column(0, "doubt", pa.array(doubt.astype(np.int8)))
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
    indices = order.to_numpy()
    rows = predictions.take(order).drop_columns(NOT_SHOWN).combine_chunks()
    rows = rows.append_column("day", pc.strftime(rows["predicted_at"], "%Y-%m-%d"))
    newest = rows.group_by("model_version").aggregate([("predicted_at", "max")]).sort_by("predicted_at_max")
    return DoubtOrder(
        rows,
        {name: flags[indices] for name, flags in of_reason.items()},
        is_malformed[indices],
        {key: index for index, key in enumerate(zip(*(rows[name].to_pylist() for name in KEY), strict=True))},
        [name for name in reversed(newest["model_version"].to_pylist()) if name],
    )


def _reasons(predictions: pa.Table, thresholds: Thresholds) -> dict[str, Any]:
    """By reason, which rows have it: the view captions_to_review has the same ones."""
    is_sentence = _flags(pc.match_substring(predictions["reference"], " "))
    has_blanks = pc.fill_null(pc.match_substring(predictions["caption"], " "), False)
    least = pc.if_else(has_blanks, thresholds.min_sentence_confidence, thresholds.min_confidence)
    first = pc.list_element(pc.list_slice(predictions["alternatives"], 0, 1, return_fixed_size_list=True), 0)
    probability = pc.exp(pc.struct_field(first, "score"))
    return {
        "no_caption": _flags(pc.equal(pc.fill_null(predictions["caption"], ""), "")),
        "invalid": _flags(pc.invert(predictions["is_valid"])),
        "low_confidence": _flags(pc.less(predictions["confidence"], least)),
        "disputed": _flags(
            pc.and_(pc.greater(probability, thresholds.max_alternative_probability), pc.invert(has_blanks))
        ),
        "far": _flags(pc.less(predictions["similarity"], thresholds.min_similarity)) & ~is_sentence,
    }


def _flags(found: Any) -> Any:
    """Arrow's answer as (N,) booleans of numpy, null being false."""
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False).astype(bool)
