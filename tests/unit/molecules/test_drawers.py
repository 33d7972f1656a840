"""What every drawer says of its drawings is so: `pytest tests/unit/molecules/test_drawers.py`."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import yaml

from lib.molecules.drawing import draw_molecule, draw_unworn
from lib.molecules.drawing_noise import INK
from lib.molecules.indigo_drawing import draw_with_indigo
from lib.molecules.layout import Drawing, Layout
from lib.molecules.rdkit_drawing import draw_with_rdkit
from lib.molecules.smiles import read_inchi
from lib.sections.molecules import Drawer, DrawingSettings, Pen
from lib.settings import CONF
from tests.unit.molecules.drawn_molecules import inchis

BASE = DrawingSettings(**yaml.safe_load((CONF / "base.yaml").read_text())["drawing"])
DRAWERS: tuple[Drawer, ...] = ("indigo", "rdkit", "coordgen")
SIZES_PX = (20, 25, 40, 63)  # lengths of a bond; 25 and 40 are the real collection's
NEAR_PX = 2.5
LETTER_PER_BOND = 0.2  # half the height of a letter, about
NORBORNANE = "InChI=1S/C7H12/c1-2-7-4-3-6(1)5-7/h6-7H,1-5H2"  # whose bonds are not all of one length


@cache
def unworn(drawer: Drawer, bond_px: int, ink_below: int = 120) -> tuple[tuple[str, Drawing], ...]:
    """Forty molecules as a drawer draws them; grey levels under ink_below are ink (Indigo alone draws any grey)."""
    if drawer == "indigo":
        return tuple((inchi, draw_with_indigo(inchi, bond_px, 26, ink_below)) for inchi in inchis())
    pen = Pen(bond_px, 26, 1, BASE.font)
    return tuple((inchi, draw_with_rdkit(inchi, pen, has_coordgen_layout=drawer == "coordgen")) for inchi in inchis())


def distances_to_ink(drawing: Drawing, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pixels from each position to the nearest ink."""
    distances = cv2.distanceTransform((drawing.pixels != INK).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distances[np.rint(y).astype(int), np.rint(x).astype(int)]


def symbols(inchi: str, layout: Layout) -> list[str]:
    atoms = list(read_inchi(inchi).GetAtoms())
    heavy = [atom.GetSymbol() if not atom.GetFormalCharge() else "charged" for atom in atoms]
    return heavy + ["H"] * (len(layout.atom_x) - len(heavy))


def is_in_ink_box(drawing: Drawing, x: float, y: float, reach: int) -> bool:
    """Whether ink within reach lies left, right, above and below of a position, or at it."""
    column, row = round(float(x)), round(float(y))
    window = drawing.pixels[row - reach : row + reach + 1, column - reach : column + reach + 1]
    rows, columns = np.nonzero(window == INK)
    return len(rows) > 0 and rows.min() <= reach <= rows.max() and columns.min() <= reach <= columns.max()


@pytest.mark.parametrize("bond_px", SIZES_PX)
@pytest.mark.parametrize("drawer", DRAWERS)
def test_carbons_and_middles_of_bonds_lie_on_ink(drawer: Drawer, bond_px: int) -> None:
    beside_px = max(NEAR_PX, 0.08 * bond_px)  # the lines of a double bond lie beside its middle
    # Some strokes of Indigo's that are thinner than a pixel are too pale to be ink: those must be where there is grey.
    for ink_below, fraction in ((250, 0.99), (120, 0.98 if drawer != "indigo" or bond_px >= 40 else 0.85)):
        carbons, middles = [], []
        for inchi, drawing in unworn(drawer, bond_px, ink_below):
            layout = drawing.layout
            is_carbon = np.array(symbols(inchi, layout)) == "C"
            carbons += distances_to_ink(drawing, layout.atom_x[is_carbon], layout.atom_y[is_carbon]).tolist()
            x, y = ((axis[layout.bond_begin] + axis[layout.bond_end]) / 2 for axis in (layout.atom_x, layout.atom_y))
            middles += distances_to_ink(drawing, x, y).tolist()
        assert np.mean(np.array(carbons) <= NEAR_PX) >= fraction
        assert np.mean(np.array(middles) <= beside_px) >= fraction


@pytest.mark.parametrize("bond_px", SIZES_PX)
@pytest.mark.parametrize("drawer", DRAWERS)
def test_atoms_with_a_label_lie_within_its_letters(drawer: Drawer, bond_px: int) -> None:
    found = [
        is_in_ink_box(drawing, x, y, reach=max(4, round(LETTER_PER_BOND * bond_px)))
        for inchi, drawing in unworn(drawer, bond_px, 250)
        for symbol, x, y in zip(symbols(inchi, drawing.layout), *drawing.layout[:2], strict=True)
        if symbol != "C"
    ]
    assert len(found) >= 130
    assert np.mean(found) >= 0.96


@pytest.mark.parametrize("drawer", DRAWERS)
def test_places_that_are_moved_by_a_few_pixels_are_not_on_ink(drawer: Drawer) -> None:
    """What the tests above look for is not there wherever one looks."""
    far = [
        distances_to_ink(drawing, drawing.layout.atom_x + 5, drawing.layout.atom_y + 4) > NEAR_PX
        for _, drawing in unworn(drawer, 40)
    ]
    assert np.mean(np.concatenate(far)) > 0.35


@pytest.mark.parametrize("drawer", DRAWERS)
def test_bonds_of_uneven_length_are_where_the_layout_says(drawer: Drawer) -> None:
    settings = BASE.model_copy(update={"reduced_fraction": 0.0})
    drawing = draw_unworn(NORBORNANE, drawer, settings, np.random.default_rng(0)).drawing
    assert distances_to_ink(drawing, drawing.layout.atom_x, drawing.layout.atom_y).max() <= NEAR_PX


@pytest.mark.parametrize("drawer", DRAWERS)
def test_the_layouts_atoms_are_the_inchis_and_then_its_explicit_hydrogens(drawer: Drawer) -> None:
    num_hydrogens = 0
    for inchi, drawing in unworn(drawer, 40):
        layout, molecule = drawing.layout, read_inchi(inchi)
        num_atoms = molecule.GetNumAtoms()
        drawn = np.sort(np.stack((layout.bond_begin, layout.bond_end), axis=1), axis=1)
        of_inchi = {tuple(sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))) for bond in molecule.GetBonds()}
        is_to_hydrogen = drawn[:, 1] >= num_atoms
        assert set(map(tuple, drawn[~is_to_hydrogen].tolist())) == of_inchi
        assert len(layout.atom_y) == len(layout.atom_x)
        assert sorted(drawn[is_to_hydrogen, 1].tolist()) == list(range(num_atoms, len(layout.atom_x)))
        assert (drawn[is_to_hydrogen, 0] < num_atoms).all()
        assert (layout.bond_order[is_to_hydrogen] == 1).all()
        num_hydrogens += int(is_to_hydrogen.sum())
    # RDKit has them where stereo centres are shared by rings, Indigo at all centres with one hydrogen, and more.
    assert num_hydrogens >= (25 if drawer == "indigo" else 3)


@pytest.mark.parametrize("drawer", DRAWERS)
def test_every_stereo_centre_has_a_wedge_and_nothing_else_has(drawer: Drawer) -> None:
    for inchi, drawing in unworn(drawer, 40):
        layer = inchi.split("/t")[1].split("/")[0] if "/t" in inchi else ""
        centres = {int(number.rstrip("+-?")) - 1 for number in layer.split(",") if number}
        assert set(drawing.layout.bond_begin[drawing.layout.bond_wedge > 0].tolist()) == centres


@pytest.mark.parametrize("drawer", DRAWERS)
def test_a_wedge_is_full_of_ink_and_a_hash_is_not(drawer: Drawer) -> None:
    fractions: dict[int, list[float]] = {1: [], 2: []}
    for _, drawing in unworn(drawer, 63):
        layout = drawing.layout
        for begin, end, wedge in zip(layout.bond_begin, layout.bond_end, layout.bond_wedge, strict=True):
            if wedge:
                along = np.linspace(0.3, 0.65, 40)  # letters hide the wide end
                x, y = (axis[begin] + along * (axis[end] - axis[begin]) for axis in (layout.atom_x, layout.atom_y))
                is_ink = drawing.pixels[np.rint(y).astype(int), np.rint(x).astype(int)] == INK
                fractions[int(wedge)].append(float(is_ink.mean()))
    assert min(len(seen) for seen in fractions.values()) >= 6
    assert np.mean(fractions[1]) > 0.95
    assert np.mean(fractions[2]) < 0.6


def test_indigo_draws_hardly_any_molecule_higher_than_wide() -> None:
    """None of 623 genuine images is, and of these forty only a chain folded about as high as wide."""
    ratios = [drawing.pixels.shape[0] / drawing.pixels.shape[1] for _, drawing in unworn("indigo", 40)]
    assert sum(ratio > 1 for ratio in ratios) <= 1
    assert max(ratios) < 1.15
    others = [drawing.pixels.shape[0] / drawing.pixels.shape[1] for _, drawing in unworn("coordgen", 40)]
    assert sum(ratio > 1 for ratio in others) >= 5  # which no turning afterwards hides


def test_each_drawer_draws_in_its_own_way_and_shares_decide_which() -> None:
    inchi = inchis()[13]
    settings = BASE.model_copy(update={"reduced_fraction": 0.0, "noise": 0.0})
    whole = {
        drawer: draw_unworn(inchi, drawer, settings, np.random.default_rng(0)).drawing.pixels for drawer in DRAWERS
    }
    assert len({pixels.tobytes() for pixels in whole.values()}) == 3

    def drawn_by(seed: int, drawers: dict[Drawer, float]) -> Drawer:
        chosen = settings.model_copy(update={"drawers": drawers})
        shape = draw_molecule(inchi, chosen, np.random.default_rng(seed)).pixels.shape
        return next(drawer for drawer in DRAWERS if whole[drawer].shape == shape)

    assert len({pixels.shape for pixels in whole.values()}) == 3
    assert {drawn_by(seed, BASE.drawers) for seed in range(5)} == {"indigo"}
    for drawer in DRAWERS:
        assert {drawn_by(seed, {"indigo": 0, "rdkit": 0, "coordgen": 0, drawer: 2}) for seed in range(5)} == {drawer}
    mixed = [drawn_by(seed, {"indigo": 2, "rdkit": 1, "coordgen": 1}) for seed in range(80)]
    assert 25 <= mixed.count("indigo") <= 55
    assert min(mixed.count("rdkit"), mixed.count("coordgen")) >= 8


def test_indigo_draws_alike_whatever_its_process_drew_first() -> None:
    toluene, pyridine = "InChI=1S/C7H8/c1-7-5-3-2-4-6-7/h2-6H,1H3", "InChI=1S/C5H5N/c1-2-4-6-5-3-1/h1-5H"
    script = (
        "import hashlib, sys; from lib.molecules.redrawn import draw_unworn_ink\n"
        "for inchi in sys.argv[1:]:\n"
        "    print(inchi, hashlib.sha256(draw_unworn_ink(inchi, 'indigo').tobytes()).hexdigest())"
    )
    orders = ((toluene, pyridine), (pyridine, toluene))
    printed = [
        subprocess.run([sys.executable, "-c", script, *order], capture_output=True, text=True, check=True).stdout
        for order in orders
    ]
    assert sorted(printed[0].splitlines()) == sorted(printed[1].splitlines())


def test_indigo_draws_alike_whatever_fonts_the_machine_has(tmp_path: Path) -> None:
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    shutil.copy(fonts / "cmr10.ttf", tmp_path)  # a face that looks quite different
    configuration = tmp_path / "fonts.conf"
    configuration.write_text(f"<fontconfig><dir>{tmp_path}</dir><cachedir>{tmp_path}</cachedir></fontconfig>")
    script = (
        "from lib.molecules.indigo_drawing import ink_with_indigo\n"
        "print(ink_with_indigo('InChI=1S/C3H9N/c1-2-3-4/h2-4H2,1H3', 40, 26, 120).tobytes().hex())"
    )
    drawn = {
        subprocess.run(
            [sys.executable, "-c", script], env=os.environ | own, capture_output=True, text=True, check=True
        ).stdout
        for own in ({}, {"FONTCONFIG_FILE": str(configuration)})
    }
    assert len(drawn) == 1
