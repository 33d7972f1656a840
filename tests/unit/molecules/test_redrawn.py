"""Images that others drew are covered by a caption's drawing: `pytest tests/unit/molecules/test_redrawn.py`."""

import pytest
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from lib.captioning.redrawing import DRAWN_ALIKE_FROM, RedrawnImage, prepare
from lib.errors import NotationError
from lib.images.cleaning import clean_image
from lib.molecules.redrawn import DRAWERS, draw_unworn_ink
from lib.settings import load_settings

CLEANING = load_settings("molecules", "local", ["landing.path=in", "storage.root=lake"]).cleaning


def drawn_as_rdkit_does(smiles: str) -> tuple[RedrawnImage, str]:
    """RDKit's default drawing of a SMILES, cleaned and ready to be drawn again, and its InChI."""
    molecule = Chem.MolFromSmiles(smiles)
    canvas = rdMolDraw2D.MolDraw2DCairo(400, 300)
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, molecule)
    canvas.FinishDrawing()
    image = prepare(clean_image(canvas.GetDrawingText(), CLEANING).pixels)
    assert image is not None
    return RedrawnImage(image, DRAWERS, draw_unworn_ink), Chem.MolToInchi(molecule)


@pytest.mark.parametrize("smiles", ["CC(=O)Oc1ccccc1C(=O)O", "CCOC(=O)c1ccc(N)cc1", "CN1CCC[C@H]1c1cccnc1"])
def test_what_rdkit_drew_of_a_smiles_is_covered_by_the_drawing_of_its_inchi(smiles: str) -> None:
    redrawn, inchi = drawn_as_rdkit_does(smiles)
    redrawn.draw(inchi)
    assert redrawn.agreements[inchi].correlation > DRAWN_ALIKE_FROM + 0.1


def test_a_stereocentre_that_is_not_drawn_fits_worse_than_none() -> None:
    redrawn, inchi = drawn_as_rdkit_does("COc1ccc2cc(ccc2c1)C(C)C(=O)O")
    for caption in (inchi, f"{inchi}/t9-/m1/s1", f"{inchi}/t9-/m0/s1"):
        redrawn.draw(caption)
    assert min(redrawn.agreements, key=lambda caption: redrawn.agreements[caption].mismatch) == inchi


def test_a_large_ring_is_not_drawn_with_coordgen_which_takes_seconds() -> None:
    ring = Chem.MolToInchi(Chem.MolFromSmiles("C1" + "C" * 34 + "C1"))
    with pytest.raises(NotationError, match="CoordGen"):
        draw_unworn_ink(ring, "coordgen")
    assert draw_unworn_ink(ring, "rdkit").any()
