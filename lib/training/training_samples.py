"""A row of training_rows as a sample that the network learns from: pixels, tokens and, where known, marks."""

from contextlib import suppress
from typing import Any

import numpy as np

from lib.errors import NotationError
from lib.images.cleaning import decode_png
from lib.molecules.drawing import Layout
from lib.molecules.drawing_marks import mark_labels, mark_places
from lib.training.training_data import LAYOUT_COLUMNS
from model.config import CaptionerConfig


def as_sample(row: dict[str, Any], captioner: CaptionerConfig) -> dict[str, Any]:
    """A row of training_rows as model.batches.collate takes it."""
    sample = {"pixels": decode_png(row["image"]), "token_ids": row["token_ids"]}
    if captioner.num_cell_labels and row["atom_x"] is not None:
        layout = Layout(*(np.asarray(row[name]) for name in LAYOUT_COLUMNS))
        with suppress(NotationError):  # the layout is not this caption's: then the caption alone has to do
            sample["marks"] = {
                "places": mark_places(layout), "labels": mark_labels(row["caption"], layout),
                "marks_of_tokens": np.asarray(row["atoms"]),
            }
    return sample
