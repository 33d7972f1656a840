"""The overview's figures of a lake's tables, each cached until its table changes."""

from typing import NamedTuple

import pyarrow as pa

from lib.lake.delta_rows import DeltaRows
from lib.reviewing.caption_quality import PREDICTIONS, CaptionQuality, caption_quality
from lib.reviewing.confidence_drift import Drift, confidence_drift
from lib.reviewing.rejected_images import REJECTED, rejected_images
from lib.reviewing.table_cache import TableCache
from lib.reviewing.training_history import EVALUATIONS, METRICS, newest_evaluations, training_history


class CaptionFigures(NamedTuple):
    """What one reading of caption_predictions gives."""

    quality: CaptionQuality
    drift: list[Drift]


class LakeFigures:
    """The figures of each table; `newest` of each raises UnreadableTableError. May be used by threads."""

    def __init__(self, rows: DeltaRows) -> None:
        self.captions = TableCache(rows, "caption_predictions", PREDICTIONS, _caption_figures)
        self.trainings = TableCache(rows, "training_metrics", METRICS, training_history)
        self.evaluations = TableCache(rows, "evaluations", EVALUATIONS, newest_evaluations)
        self.rejected = TableCache(rows, "images_rejected", REJECTED, rejected_images)

    def warm_up(self) -> None:
        """Read all tables. Raises UnreadableTableError."""
        self.captions.newest()
        self.trainings.newest()
        self.evaluations.newest()
        self.rejected.newest()


def _caption_figures(predictions: pa.Table) -> CaptionFigures:
    return CaptionFigures(caption_quality(predictions), confidence_drift(predictions))
