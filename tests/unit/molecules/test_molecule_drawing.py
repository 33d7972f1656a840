"""Drawing one molecule: `pytest tests/unit/molecules/test_molecule_drawing.py`."""

import re
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from lib.errors import NotationError
from lib.lake.layout_columns import LAYOUT_COLUMNS
from lib.molecules.drawing import choose_drawer, draw_molecule, draw_unworn
from lib.molecules.drawing_marks import mark_labels
from lib.molecules.drawing_noise import INK, erase_line
from lib.molecules.layout import Drawing, Layout, turn
from lib.molecules.rdkit_drawing import prepare_molecule
from lib.sections.molecules import Drawer, DrawingSettings
from lib.settings import CONF
from tests.known_molecules import CAFFEINE

BASE = DrawingSettings(**yaml.safe_load((CONF / "base.yaml").read_text())["drawing"])

IBUPROFEN = "InChI=1S/C13H18O2/c1-9(2)8-11-4-6-12(7-5-11)10(3)13(14)15/h4-7,9-10H,8H2,1-3H3,(H,14,15)"
TESTOSTERONE = (
    "InChI=1S/C19H28O2/c1-18-9-7-13(20)11-12(18)3-4-14-15-5-6-17(21)19(15,2)10-8-16(14)18/"
    "h11,14-17,21H,3-10H2,1-2H3/t14-,15-,16-,17-,18-,19-/m0/s1"
)
PENICILLIN = (
    "InChI=1S/C16H18N2O4S/c1-16(2)12(15(21)22)18-13(20)11(14(18)23-16)17-10(19)8-9-6-4-3-5-7-9/"
    "h3-7,11-12,14H,8H2,1-2H3,(H,17,19)(H,21,22)/t11-,12+,14-/m1/s1"
)
DEUTERATED = "InChI=1S/CH4O/c1-2/h2H,1H3/i1D3"
BROMOBENZONITRILE = "InChI=1S/C7H4BrN/c8-7-3-1-6(5-9)2-4-7/h1-4H"
DRAWERS = ("indigo", "rdkit", "coordgen")
MOLECULES = (IBUPROFEN, CAFFEINE, TESTOSTERONE, PENICILLIN, BROMOBENZONITRILE)


def settings(**changes: object) -> DrawingSettings:
    return BASE.model_copy(update=changes)


def draw(inchi: str, seed: int = 0, drawer: Drawer = "indigo", **changes: object) -> Drawing:
    return draw_molecule(inchi, settings(drawers={drawer: 1}, **changes), np.random.default_rng(seed))


def connections(inchi: str) -> set[frozenset[int]]:
    """The bonds of an InChI's /c layer, atoms numbered from 0."""
    layer = inchi.split("/c")[1].split("/")[0]
    bonds, branches, before = set(), [], -1
    for mark in re.findall(r"\d+|[(),-]", layer):
        if mark == "(":
            branches.append(before)
        elif mark == ",":
            before = branches[-1]
        elif mark == ")":
            before = branches.pop()
        elif mark != "-":
            if before >= 0:
                bonds.add(frozenset((before, int(mark) - 1)))
            before = int(mark) - 1
    return bonds


def ink_near(drawing: Drawing, x: float, y: float, reach: int = 3) -> int:
    column, row = round(float(x)), round(float(y))
    window = drawing.pixels[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
    return int(np.count_nonzero(window == INK))


def bond_middles(drawing: Drawing) -> list[tuple[float, float]]:
    layout = drawing.layout
    return [
        ((layout.atom_x[begin] + layout.atom_x[end]) / 2, (layout.atom_y[begin] + layout.atom_y[end]) / 2)
        for begin, end in zip(layout.bond_begin, layout.bond_end, strict=True)
    ]


def test_same_seed_draws_the_same_image_and_another_seed_another() -> None:
    first, again, other = draw(IBUPROFEN, seed=1), draw(IBUPROFEN, seed=1), draw(IBUPROFEN, seed=2)
    assert np.array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, other.pixels)


@pytest.mark.parametrize("drawer", DRAWERS)
@pytest.mark.parametrize("inchi", MOLECULES)
def test_pixels_are_ink_or_paper_and_nothing_between(inchi: str, drawer: Drawer) -> None:
    pixels = draw(inchi, drawer=drawer).pixels
    assert pixels.dtype == np.uint8
    assert set(np.unique(pixels)) == {0, 255}


@pytest.mark.parametrize("drawer", DRAWERS)
@pytest.mark.parametrize("inchi", [IBUPROFEN, CAFFEINE, BROMOBENZONITRILE])
def test_layout_numbers_atoms_as_the_inchi_does(inchi: str, drawer: Drawer) -> None:
    layout = draw(inchi, drawer=drawer).layout
    drawn = {frozenset(bond) for bond in zip(layout.bond_begin.tolist(), layout.bond_end.tolist(), strict=True)}
    assert drawn == connections(inchi)
    assert len(layout.atom_x) == len(layout.atom_y) == 1 + max(max(bond) for bond in drawn)


@pytest.mark.parametrize("drawer", DRAWERS)
def test_isotopes_of_hydrogen_are_atoms_of_the_layout_and_come_last(drawer: Drawer) -> None:
    layout = draw(DEUTERATED, drawer=drawer).layout
    bonds = {frozenset(ends) for ends in zip(layout.bond_begin.tolist(), layout.bond_end.tolist(), strict=True)}
    assert bonds == {frozenset((0, other)) for other in (1, 2, 3, 4)}  # carbon: to oxygen, then to three of deuterium
    assert len(mark_labels(DEUTERATED, layout)) == 5 + 4


def test_rdkit_makes_hydrogens_explicit_at_stereocentres_that_rings_share() -> None:
    symbols = [atom.GetSymbol() for atom in prepare_molecule(TESTOSTERONE).GetAtoms()]
    assert symbols == ["C"] * 19 + ["O"] * 2 + ["H"] * 3
    assert len(draw(TESTOSTERONE, drawer="rdkit").layout.atom_x) == 21 + 3


def test_indigo_makes_hydrogens_explicit_at_every_stereocentre_that_has_one() -> None:
    assert len(draw(TESTOSTERONE).layout.atom_x) == 21 + 4
    assert len(draw(PENICILLIN).layout.atom_x) == 23 + 3
    assert len(draw(PENICILLIN.split("/t")[0]).layout.atom_x) == 23


@pytest.mark.parametrize("geometry", ["+", "-"])
def test_indigo_draws_a_hydrogen_at_both_ends_of_a_stereo_double_bond(geometry: str) -> None:
    plain = "InChI=1S/C4H4O4/c5-3(6)1-2-4(7)8/h1-2H,(H,5,6)(H,7,8)"
    layout = draw(f"{plain}/b2-1{geometry}").layout
    to_hydrogens = {
        (int(begin), int(end)) for begin, end in zip(layout.bond_begin, layout.bond_end, strict=True) if end >= 8
    }
    assert to_hydrogens == {(0, 8), (1, 9)}
    x, y = layout.atom_x, layout.atom_y
    bond = np.array([x[1] - x[0], y[1] - y[0]])
    sides = [np.sign(bond[0] * (y[other] - y[0]) - bond[1] * (x[other] - x[0])) for other in (8, 9)]
    assert (sides[0] == sides[1]) == (geometry == "-")  # /b-: the lower numbers, and so the hydrogens, on one side
    assert len(draw(plain).layout.atom_x) == 8


def test_a_mirrored_molecule_has_hashes_for_wedges() -> None:
    for left, right in (
        ("InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)/t2-/m0/s1",) * 2,
        (TESTOSTERONE,) * 2,
        (PENICILLIN,) * 2,
    ):
        mirrored = right.replace("/m0", "/m2").replace("/m1", "/m0").replace("/m2", "/m1")
        wedges, others = draw(left).layout.bond_wedge, draw(mirrored).layout.bond_wedge
        assert (wedges > 0).any()
        assert others.tolist() == [{0: 0, 1: 2, 2: 1}[wedge] for wedge in wedges.tolist()]


@pytest.mark.parametrize("drawer", DRAWERS)
def test_bond_orders_are_those_drawn(drawer: Drawer) -> None:
    acetamide = "InChI=1S/C2H5NO/c1-2(3)4/h1H3,(H2,3,4)"  # an imidic acid to the InChI
    layout = draw(acetamide, drawer=drawer).layout
    orders = {
        frozenset((int(begin), int(end))): float(order)
        for begin, end, order in zip(layout.bond_begin, layout.bond_end, layout.bond_order, strict=True)
    }
    assert orders == {frozenset((0, 1)): 1.0, frozenset((1, 2)): 2.0, frozenset((1, 3)): 1.0}
    assert sorted(draw(BROMOBENZONITRILE, drawer=drawer).layout.bond_order.tolist()) == [1.0] * 5 + [2.0] * 3 + [3.0]


@pytest.mark.parametrize("drawer", DRAWERS)
@pytest.mark.parametrize(("reduced_fraction", "bond_px", "margin_px"), [(0.0, 40.0, 41), (1.0, 25.0, 26)])
def test_bonds_and_margins_have_the_length_of_the_settings(
    reduced_fraction: float, bond_px: float, margin_px: int, drawer: Drawer
) -> None:
    drawing = draw(IBUPROFEN, drawer=drawer, noise=0.0, reduced_fraction=reduced_fraction)
    layout = drawing.layout
    lengths = np.hypot(
        layout.atom_x[layout.bond_begin] - layout.atom_x[layout.bond_end],
        layout.atom_y[layout.bond_begin] - layout.atom_y[layout.bond_end],
    )
    rows, columns = np.nonzero(drawing.pixels == INK)
    height, width = drawing.pixels.shape
    assert lengths == pytest.approx(bond_px, rel=0.02)
    margins = [columns.min(), rows.min(), width - columns.max(), height - rows.max()]
    assert margins == pytest.approx([margin_px] * 4, abs=7 if drawer == "indigo" else 3)  # which leaves letters room
    assert min(margins) == pytest.approx(margin_px, abs=4)


@pytest.mark.parametrize("drawer", DRAWERS)
def test_dropped_bond_leaves_no_ink_and_its_neighbours_stay(drawer: Drawer) -> None:
    whole = draw(CAFFEINE, drawer=drawer, noise=0.0, reduced_fraction=0.0)
    positions_xy = np.stack((whole.layout.atom_x, whole.layout.atom_y), axis=1)
    for index, (x, y) in enumerate(bond_middles(whole)):
        ends = positions_xy[whole.layout.bond_begin[index]], positions_xy[whole.layout.bond_end[index]]
        without = whole._replace(pixels=erase_line(whole.pixels, *ends))
        assert ink_near(whole, x, y) > 0
        assert ink_near(without, x, y) == 0
        others = [middle for other, middle in enumerate(bond_middles(whole)) if other != index]
        assert all(ink_near(without, *middle) for middle in others)


def test_fraction_of_dropped_bonds_follows_the_noise() -> None:
    def count_blank_middles(noise: float) -> int:
        quiet = {
            "missing_pixel_fraction": (0.0, 0.0),
            "speck_density": (0.0, 0.0),
            "reduced_fraction": 0.0,
            "noise": noise,
        }
        quiet["dropped_bond_fraction"] = 0.03
        drawings = [draw(CAFFEINE, seed, **quiet) for seed in range(100)]
        return sum(not ink_near(drawing, *middle) for drawing in drawings for middle in bond_middles(drawing))

    assert count_blank_middles(0.0) == 0
    assert 24 <= count_blank_middles(1.0) <= 66  # 100 drawings, 15 bonds, 3 %, three deviations
    assert 80 <= count_blank_middles(3.0) <= 190


@pytest.mark.parametrize(("reduced_fraction", "least", "most"), [(0.0, 0.09, 0.14), (1.0, 0.15, 0.26)])
def test_wear_is_within_the_ranges_of_the_real_collection(reduced_fraction: float, least: float, most: float) -> None:
    quiet = {
        "missing_pixel_fraction": (0.0, 0.0),
        "reduced_missing_pixel_fraction": (0.0, 0.0),
        "speck_density": (0.0, 0.0),
    }
    num_clean_ink = num_missing = num_paper = num_specks = 0
    for seed in range(100):
        is_clean_ink = draw(PENICILLIN, seed, reduced_fraction=reduced_fraction, **quiet).pixels == INK
        is_ink = draw(PENICILLIN, seed, reduced_fraction=reduced_fraction).pixels == INK
        num_clean_ink += int(is_clean_ink.sum())
        num_missing += int((is_clean_ink & ~is_ink).sum())
        num_paper += int((~is_clean_ink).sum())
        num_specks += int((is_ink & ~is_clean_ink).sum())
    assert least < num_missing / num_clean_ink < most
    assert 3e-5 < num_specks / num_paper < 8.5e-5


@pytest.mark.parametrize("drawer", DRAWERS)
def test_no_noise_is_the_drawers_own_drawing(drawer: Drawer) -> None:
    asked = settings(drawers={drawer: 1}, reduced_fraction=0.0)
    rng = np.random.default_rng(0)
    own = draw_unworn(PENICILLIN, choose_drawer(asked, rng), asked, rng)
    assert (own.bond_length_px, own.is_reduced) == (40.0, False)
    assert np.array_equal(draw(PENICILLIN, drawer=drawer, noise=0.0, reduced_fraction=0.0).pixels, own.drawing.pixels)


def test_pale_strokes_become_ink_at_one_of_the_grey_levels_of_the_real_collection() -> None:
    amounts = {
        int(np.count_nonzero(draw(TESTOSTERONE, seed, noise=0.0, reduced_fraction=1.0).pixels == INK))
        for seed in range(12)
    }
    assert len(amounts) >= 4
    assert max(amounts) < 1.3 * min(amounts)


@pytest.mark.parametrize("drawer", DRAWERS[:2])
def test_one_configuration_is_drawn_as_a_solid_wedge_and_the_other_hashed(drawer: Drawer) -> None:
    plain = "InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)"
    flat, hashed, solid = (
        np.count_nonzero(draw(inchi, drawer=drawer, noise=0.0, reduced_fraction=0.0).pixels == INK)
        for inchi in (plain, f"{plain}/t2-/m0/s1", f"{plain}/t2-/m1/s1")
    )
    assert flat < hashed < solid
    assert solid > flat + 60


@pytest.mark.parametrize("is_clockwise", [True, False])
def test_turned_drawing_takes_its_layout_with_it(is_clockwise: bool) -> None:
    upright = draw(IBUPROFEN, noise=0.0)
    turned = turn(upright, is_clockwise)
    assert turned.pixels.shape == upright.pixels.shape[::-1]
    for before, after in zip(
        zip(upright.layout.atom_x, upright.layout.atom_y, strict=True),
        zip(turned.layout.atom_x, turned.layout.atom_y, strict=True),
        strict=True,
    ):
        assert ink_near(turned, *after, reach=4) == pytest.approx(ink_near(upright, *before, reach=4), abs=4)
    back = turn(turned, not is_clockwise)
    assert np.array_equal(back.pixels, upright.pixels)
    assert np.allclose(back.layout.atom_x, upright.layout.atom_x, atol=1e-3)
    assert np.allclose(back.layout.atom_y, upright.layout.atom_y, atol=1e-3)


def test_clockwise_puts_the_left_edge_on_top() -> None:
    upright = draw("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3", noise=0.0)
    assert upright.layout.atom_x[0] < upright.layout.atom_x[2]
    assert turn(upright, True).layout.atom_y[0] < turn(upright, True).layout.atom_y[2]
    assert turn(upright, False).layout.atom_y[0] > turn(upright, False).layout.atom_y[2]


def test_sideways_share_turns_drawings_both_ways() -> None:
    for drawer in DRAWERS:
        clean: dict[str, Any] = {"drawer": drawer, "noise": 0.0, "reduced_fraction": 0.0}
        upright = draw(IBUPROFEN, **clean)
        turned = [draw(IBUPROFEN, seed, **clean, sideways_fraction=1.0) for seed in range(8)]
        assert {drawing.pixels.shape for drawing in turned} == {upright.pixels.shape[::-1]}
        assert len({drawing.layout.atom_x.tobytes() for drawing in turned}) == 2


def test_wider_lines_of_rdkit_take_more_ink() -> None:
    clean: dict[str, Any] = {"drawer": "rdkit", "noise": 0.0, "reduced_fraction": 0.0}
    thin, thick = (draw(CAFFEINE, **clean, line_width_px=width).pixels for width in (1, 3))
    assert np.count_nonzero(thick == INK) > 1.8 * np.count_nonzero(thin == INK)


@pytest.mark.parametrize("drawer", DRAWERS)
@pytest.mark.parametrize("text", ["InChI=1S/nonsense", "", "InChI=1S/", "CCO", "InChI=1S/C2H6O/c1-2-9/h3H,2H2,1H3"])
@pytest.mark.filterwarnings("ignore")
def test_text_that_is_no_inchi_is_a_notation_error(text: str, drawer: Drawer) -> None:
    with pytest.raises(NotationError, match=re.escape(repr(text)) + " is no InChI of a molecule"):
        draw(text, drawer=drawer)


def test_settings_out_of_range_or_out_of_order_are_refused() -> None:
    values = BASE.model_dump()
    for wrong in (
        {"noise": 6},
        {"num_drawings": 0},
        {"dropped_bond_fraction": 1.1},
        {"margin_px": 0},
        {"colour": "blue"},
        {"font": "absent.ttf"},
        {"drawers": {}},
        {"drawers": {"pencil": 1}},
        {"drawers": {"indigo": 0, "rdkit": 0}},
        {"drawers": {"indigo": 2, "rdkit": -1}},
        {"reduced_missing_pixel_fraction": (0.3, 0.2)},
        {"free_bond_length_px": (60, 20)},
        {"free_bond_length_px": (20, 5000)},
        {"missing_pixel_fraction": (0.3, 0.2)},
        {"min_heavy_atoms": 30, "max_heavy_atoms": 20},
    ):
        with pytest.raises(ValidationError):
            DrawingSettings(**{**values, **wrong})


def test_a_layout_has_the_columns_of_its_table() -> None:
    assert Layout._fields == tuple(LAYOUT_COLUMNS)
