"""Rows as train_captioner hands them to its workers, drawn, cleaned and written without Spark."""

import time
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lib.captions.notations import notation_named
from lib.errors import NotationError
from lib.images.cleaning import clean_image, encode_png
from lib.molecules.drawing_batches import DrawnMolecule, draw_batches
from lib.settings import Settings
from model.vocabulary import UNKNOWN, Vocabulary


class TrainingTable(NamedTuple):
    """The rows, and what one of them costs Spark's Python apart from reading: writing its caption as tokens."""

    rows: pa.Table
    writing_s: float  # per row


def training_table(settings: Settings, vocabulary: Vocabulary, num_rows: int) -> TrainingTable:
    """Draw so many molecules that the vocabulary can write."""
    drawings = (drawn for batch in draw_batches(settings.drawing) for drawn in batch.drawings)
    seconds: list[float] = []
    made = (_row(drawn, settings, vocabulary, seconds) for drawn in drawings)
    rows = list(islice((row for row in made if row is not None), num_rows))
    return TrainingTable(pa.Table.from_pylist(rows), sum(seconds) / len(seconds))


def _row(
    drawn: DrawnMolecule, settings: Settings, vocabulary: Vocabulary, seconds: list[float]
) -> dict[str, Any] | None:
    cleaned, layout = clean_image(drawn.png, settings.cleaning), drawn.layout
    arrived = np.stack((layout.atom_x, layout.atom_y, np.ones_like(layout.atom_x)))  # (3, A)
    x, y = (cleaned.transform @ arrived).astype(np.float32)
    columns = layout._replace(atom_x=x, atom_y=y)._asdict()
    began = time.perf_counter()
    try:
        written = notation_named(settings.captions.notation).write(drawn.inchi, columns, cleaned.rotation_deg)
    except NotationError:
        return None
    seconds.append(time.perf_counter() - began)
    token_ids = vocabulary.encode(list(written.tokens))
    if UNKNOWN in token_ids or not 1 <= len(token_ids) <= settings.captions.max_tokens:
        return None
    return {
        "image_id": drawn.image_id,
        "image": encode_png(cleaned.pixels),
        "token_ids": token_ids,
        "marks_of_tokens": [int(mark) for mark in written.marks],
        "caption": drawn.inchi,
        **{name: values.tolist() for name, values in columns.items()},
    }
