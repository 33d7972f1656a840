"""A row of training_rows as a sample that the network learns from: pixels, tokens and, where known, marks."""

from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np

from lib.captions.notations import Notation
from lib.errors import NotationError
from lib.images.cleaning import decode_png
from lib.images.packed_features import unpack_features
from lib.lake.layout_columns import LAYOUT_COLUMNS
from model.config import CaptionerConfig
from model.vocabulary import END


def as_sample(row: dict[str, Any], captioner: CaptionerConfig, notation: Notation) -> dict[str, Any]:
    """A row of training_rows as model.batches.collate takes it."""
    sample: dict[str, Any] = {"token_ids": row["token_ids"]}
    if row.get("features") is not None:
        sample["features"] = unpack_features(row["features"])
    else:
        sample["pixels"] = decode_png(row["image"])
    if row.get("caption_weight") is not None:
        sample["caption_weight"] = row["caption_weight"]
    if others := captions_of(row)[1:]:
        return sample | {"other_token_ids": others}
    if not captioner.num_cell_labels or notation.mark is None:
        return sample
    if all(row[name] is not None for name in LAYOUT_COLUMNS):
        with suppress(NotationError):  # the layout is not this caption's: then the caption alone has to do
            positions_xy, labels = notation.mark(
                row["caption"], {name: np.asarray(row[name]) for name in LAYOUT_COLUMNS}
            )
            marks_of_tokens = np.asarray(row["marks_of_tokens"])
            sample["marks"] = {"positions_xy": positions_xy, "labels": labels, "marks_of_tokens": marks_of_tokens}
    return sample


def captions_of(row: dict[str, Any]) -> list[list[int]]:
    """The token ids of all captions of a row, without <start> and <end>."""
    # One list, <end> after each caption: RayDP cannot send empty lists of lists.
    others = row.get("other_token_ids") or []
    ends = [index for index, token_id in enumerate(others) if token_id == END]
    return [row["token_ids"], *(others[start + 1 : end] for start, end in pairwise([-1, *ends]))]
