"""Rows to train on, made without Spark: `pytest tests/unit/bench/test_training_table.py`."""

import numpy as np
import pytest

from bench.lakeless_settings import lakeless_settings
from bench.training_table import training_table
from lib.captions.notations import notation_named
from lib.images.cleaning import decode_png
from lib.molecules.layout import Layout
from lib.molecules.smiles import SLANT
from model.checkpoint import PRETRAINED, load_captioner


def test_a_row_has_the_caption_as_it_is_drawn_and_where_its_atoms_lie_in_the_cleaned_image() -> None:
    settings = lakeless_settings(["drawing.num_processes=1"])
    notation = notation_named(settings.captions.notation)
    _, vocabulary, _ = load_captioner(PRETRAINED / "molecules")
    table, writing_s = training_table(settings, vocabulary, 8)
    assert writing_s > 0
    for row in table.to_pylist():
        tokens = vocabulary.decode(row["token_ids"])
        assert notation.read(notation.join(tokens)) == row["caption"]
        assert len(row["marks_of_tokens"]) == len(tokens)
        height, width = decode_png(row["image"]).shape
        layout = Layout(*(np.array(row[name]) for name in Layout._fields))
        assert ((layout.atom_x > 0) & (layout.atom_x < width)).all()
        assert ((layout.atom_y > 0) & (layout.atom_y < height)).all()
        named = [mark for mark in row["marks_of_tokens"] if mark >= 0]
        along = layout.atom_x + SLANT * layout.atom_y
        assert along[named[0]] == pytest.approx(along[named].min())
