"""Rows as samples that the network learns from: the notation says what lies where, or nobody does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lib.captions.notations import notation_named
from lib.images.cleaning import encode_png
from lib.molecules.drawing import draw_molecule
from lib.molecules.drawing_marks import LABELS
from lib.settings import load_settings
from lib.training.training_samples import as_sample
from model.batches import collate
from model.vocabulary import END
from tests.known_molecules import ETHANOL

BENZENE = "InChI=1S/C6H6/c1-2-4-6-5-3-1/h1-6H"
SETTINGS = load_settings("molecules", "local")
TAUGHT = replace(SETTINGS.captioner, num_cell_labels=len(LABELS))


@pytest.fixture(scope="module")
def row() -> dict[str, Any]:
    drawing = draw_molecule(ETHANOL, SETTINGS.drawing, np.random.default_rng(0))
    layout = {name: values.tolist() for name, values in drawing.layout._asdict().items()}
    return {
        "image": encode_png(drawing.pixels),
        "token_ids": [5, 6, 7],
        "marks_of_tokens": [0, 1, 2],
        "caption": ETHANOL,
        **layout,
    }


def test_a_row_with_a_layout_has_the_marks_that_its_notation_knows(row: dict[str, Any]) -> None:
    sample = as_sample(row, TAUGHT, notation_named("inchi"))
    assert sample["marks"]["positions_xy"].tolist()[:3] == [
        list(xy) for xy in zip(row["atom_x"], row["atom_y"], strict=True)
    ]
    elements = [LABELS[index] for index in sample["marks"]["labels"][:3].argmax(axis=1)]
    assert elements == ["C", "C", "O"]
    assert sample["marks"]["marks_of_tokens"].tolist() == [0, 1, 2]


def test_without_layout_taught_labels_or_a_notation_that_knows_marks_the_caption_alone_is_learned(
    row: dict[str, Any],
) -> None:
    inchi = notation_named("inchi")
    assert "marks" not in as_sample(row | {"atom_x": None}, TAUGHT, inchi)
    assert "marks" not in as_sample(row, replace(TAUGHT, num_cell_labels=0), inchi)
    assert "marks" not in as_sample(row, TAUGHT, notation_named("words"))


def test_the_layout_of_another_caption_is_not_learned_from(row: dict[str, Any]) -> None:
    assert "marks" not in as_sample(row | {"caption": BENZENE}, TAUGHT, notation_named("inchi"))


@pytest.mark.parametrize("others", [[], [8, END]])
def test_a_captions_weight_goes_with_its_sample_into_the_batch(row: dict[str, Any], others: list[int]) -> None:
    inchi = notation_named("inchi")
    weighed = as_sample(row | {"caption_weight": 3.0, "other_token_ids": others}, TAUGHT, inchi)
    weights = collate([weighed], 1).caption_weights
    assert weights is not None
    assert weights.tolist() == [3.0] + [1.0] * bool(others)
    assert "caption_weight" not in as_sample(row, TAUGHT, inchi)
    assert collate([as_sample(row, TAUGHT, inchi)], 1).caption_weights is None
