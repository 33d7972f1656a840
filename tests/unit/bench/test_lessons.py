"""Stored drawings with their captions in another notation: `pytest tests/unit/bench/test_lessons.py`."""

from pathlib import Path

import numpy as np
import pytest

from bench.lakeless_settings import lakeless_settings
from bench.lessons import LESSONS, rewrite_shard
from lib.captions.notations import notation_named
from lib.molecules.drawing_store import NOTATION, DrawingStore, fill_store
from lib.molecules.smiles import SLANT


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawings")
    (folder / "molecules.smi").write_text("CC(=O)Oc1ccccc1C(=O)O\nC[C@H](N)C(=O)O\nClc1ccncc1")
    file = f"drawing.smiles_file={folder}/molecules.smi"
    settings = lakeless_settings(["drawing.num_processes=1", "drawing.min_heavy_atoms=2", file])
    fill_store(folder / NOTATION, settings.drawing, settings.cleaning)
    return folder / NOTATION


@pytest.mark.parametrize("name", sorted({notation for notation, _ in LESSONS.values()} - {NOTATION}))
def test_captions_in_another_notation_are_of_the_same_molecules(stored: Path, tmp_path: Path, name: str) -> None:
    for shard in stored.glob("*.arrow"):
        rewrite_shard(shard, name, tmp_path)
    before, after = DrawingStore(stored), DrawingStore(tmp_path)
    assert len(after) == len(before) == 3
    stored_as, wanted = notation_named(NOTATION), notation_named(name)
    for index in range(len(before)):
        inchi = stored_as.read(stored_as.join(before.writing(index, 0)[0]))
        for turn_deg in (0, 180):
            tokens, atoms = after.writing(index, turn_deg)
            assert wanted.read(wanted.join(tokens)) == inchi
            if name == "smiles_drawn":  # which begins with the leftmost atom of the image as it is turned
                x, y = after.drawing(index).positions_xy[: max(atoms) + 1].T
                along = x + SLANT * y
                assert atoms[0] == (np.argmin(along) if turn_deg == 0 else np.argmax(along))
