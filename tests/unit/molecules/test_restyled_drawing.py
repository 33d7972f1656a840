"""RDKit's and Indigo's drawings with options by lot: `pytest tests/unit/molecules/test_restyled_drawing.py`."""

from functools import cache

import cv2
import numpy as np
import pytest
from rdkit import Chem

from lib.errors import NotationError
from lib.molecules import restyled_drawing
from lib.molecules.drawing_noise import INK, PAPER
from lib.molecules.layout import Drawing
from lib.molecules.restyled_drawing import draw_restyled
from lib.molecules.smiles import inchi_of_smiles, read_inchi, write_smiles
from tests.unit.molecules.drawn_molecules import inchis, shown_by, stereo_layers

BOND_PX = 45.0
PARACETAMOL = "InChI=1S/C8H9NO2/c1-6(10)9-7-2-4-8(11)5-3-7/h2-5,11H,1H3,(H,9,10)"


def drawn(inchi: str, seed: int) -> Drawing:
    return draw_restyled(inchi, BOND_PX, np.random.default_rng(seed))


@cache
def forty() -> tuple[tuple[str, Drawing], ...]:
    return tuple((inchi, drawn(inchi, seed)) for seed, inchi in enumerate(inchis()))


def near_ink(drawing: Drawing, shift: float = 0.0) -> np.ndarray:
    """Whether ink is within 3 pixels of each atom, moved by so many pixels to the right and half as many down."""
    distances = cv2.distanceTransform((drawing.pixels != INK).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    columns, rows = np.rint(drawing.layout.atom_x + shift), np.rint(drawing.layout.atom_y + shift / 2)
    return distances[rows.astype(int), columns.astype(int)] <= 3


PROGRAMS = pytest.mark.parametrize(("program", "rdkit_fraction"), [("rdkit", 1.0), ("indigo", 0.0)])


@PROGRAMS
def test_carbons_lie_on_ink_whoever_draws(program: str, rdkit_fraction: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restyled_drawing, "RDKIT_FRACTION", rdkit_fraction)
    at_their_places, moved = [], []
    for seed, inchi in enumerate(inchis()):
        drawing = drawn(inchi, seed)
        # Those at ends may be written out.
        is_carbon = [atom.GetSymbol() == "C" and atom.GetDegree() > 1 for atom in read_inchi(inchi).GetAtoms()]
        at_their_places += near_ink(drawing)[: len(is_carbon)][is_carbon].tolist()
        moved += near_ink(drawing, 10)[: len(is_carbon)][is_carbon].tolist()
    assert np.mean(at_their_places) > 0.97, program
    assert np.mean(moved) < 0.5, program


def test_what_is_written_from_the_layout_is_the_molecule() -> None:
    for inchi, drawing in forty():
        for turn_deg in (0, 180):
            assert inchi_of_smiles("".join(write_smiles(inchi, drawing.layout, True, turn_deg).tokens)) == inchi


def test_pixels_are_ink_or_paper_in_many_styles() -> None:
    assert all(set(np.unique(drawing.pixels)) == {INK, PAPER} for _, drawing in forty())
    inked = {round(float((drawn(PARACETAMOL, seed).pixels == INK).mean()), 3) for seed in range(12)}
    assert len(inked) >= 8
    np.testing.assert_array_equal(drawn(PARACETAMOL, 1).pixels, drawn(PARACETAMOL, 1).pixels)


def test_most_amides_are_drawn_as_amides() -> None:
    oxygen, carbon = 9, 5  # of the amide, in the InChI's order
    orders = []
    for seed in range(20):
        layout = drawn(PARACETAMOL, seed).layout
        ends = zip(layout.bond_begin.tolist(), layout.bond_end.tolist(), layout.bond_order.tolist(), strict=True)
        orders += [order for begin, end, order in ends if {begin, end} == {oxygen, carbon}]
    assert len(orders) == 20
    assert 12 <= orders.count(2) < 20


@PROGRAMS
def test_wedges_say_the_stereo_of_the_molecule_however_it_is_drawn(
    program: str, rdkit_fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restyled_drawing, "RDKIT_FRACTION", rdkit_fraction)
    with_centres = [inchi for inchi in inchis() if "/m" in inchi]
    for seed, inchi in enumerate(with_centres * 2):
        shown = Chem.MolToInchi(shown_by(inchi, drawn(inchi, seed).layout))
        assert stereo_layers(shown) == stereo_layers(inchi), program


@pytest.mark.parametrize(
    ("smiles", "is_wavy"), [("CC(Cl)c1ccccc1", True), ("C[C@H](Cl)c1ccccc1", False), ("CCc1ccccc1", False)]
)
def test_bonds_of_unnamed_centres_alone_are_wavy(smiles: str, is_wavy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restyled_drawing, "RDKIT_FRACTION", 1.0)
    images = []
    for fraction in (0.0, 1.0):
        monkeypatch.setattr(restyled_drawing, "WAVY_FRACTION", fraction)
        drawing = drawn(inchi_of_smiles(smiles), 0)
        assert not drawing.layout.bond_wedge.any() or "@" in smiles  # a wave is no wedge
        images.append(drawing.pixels)
    assert (images[0].shape != images[1].shape or (images[0] != images[1]).any()) == is_wavy


def test_what_is_no_inchi_of_a_molecule_is_one_error() -> None:
    with pytest.raises(NotationError):
        drawn("InChI=1S/nothing", 0)
