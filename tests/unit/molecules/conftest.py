"""Drawings for the tests of what learns from them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lib.molecules.drawing_store import DrawingStore, all_tokens, fill_store
from lib.settings import Settings, load_settings
from model.vocabulary import Vocabulary
from tests.unit.molecules.drawn_molecules import Drawn


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Draws molecules by RDKit; returns the drawings, the vocabulary of their captions, and the settings."""

    def drawn(smiles: Sequence[str]) -> tuple[DrawingStore, Vocabulary, Settings]:
        folder: Path = tmp_path_factory.mktemp("drawn")
        (folder / "molecules.smi").write_text("\n".join(smiles))
        settings = load_settings(
            "molecules",
            "local",
            [
                *(f"{key}={folder}" for key in ("landing.path", "storage.root")),
                f"drawing.smiles_file={folder}/molecules.smi",
                "drawing.num_processes=1",
                "drawing.drawers={rdkit: 1}",
                "wear.missing_pixel_fraction=[0.0, 0.05]",
                "wear.dropped_bond_fraction=0",
            ],
        )
        fill_store(folder / "drawings", settings.drawing, settings.cleaning)
        store = DrawingStore(folder / "drawings")
        return store, Vocabulary.from_tokens(all_tokens(store)), settings

    return drawn
