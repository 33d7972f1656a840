"""Drawings in free styles: what they show is the molecule, whatever they look like."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from rdkit import Chem

from lib.errors import SettingsError
from lib.molecules.atom_labels import GROUPS, Group, atom_label, free_side, group_label, groups_of
from lib.molecules.drawing import draw_unworn
from lib.molecules.drawing_marks import mark_labels, mark_positions
from lib.molecules.free_drawing import draw_freely
from lib.molecules.free_style import (
    FONTS,
    FONTS_FOLDER,
    LAYOUTS,
    MIN_CAPITAL_PX,
    FreeStyle,
    fonts_of,
    free_style,
    printed,
)
from lib.molecules.layout import Drawing
from lib.molecules.smiles import drawn_molecule, inchi_of_smiles, read_inchi, write_smiles
from lib.molecules.sources import with_random_group
from lib.settings import load_settings
from tests.unit.molecules.drawn_molecules import inchis, shown_by, stereo_layers

BONDS_PX = (24.0, 48.0)
ANISOLE, ACETANILIDE, ETHANOL = (inchi_of_smiles(text) for text in ("COc1ccccc1", "CC(=O)Nc1ccccc1", "CCO"))


def style(seed: int, **changes: object) -> FreeStyle:
    return free_style(BONDS_PX, np.random.default_rng(seed))._replace(**changes)


def draw(inchi: str, asked: FreeStyle) -> Drawing:
    return draw_freely(inchi, asked, np.random.default_rng(0))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_wedges_say_the_stereo_of_the_molecule_however_it_is_turned(layout: str, is_mirrored: bool) -> None:
    with_centres = [inchi for inchi in inchis() if "/m" in inchi]
    assert len(with_centres) >= 10
    for seed, inchi in enumerate(with_centres):
        asked = style(seed, layout=layout, is_mirrored=is_mirrored, abbreviated_fraction=0.0, turn_deg=37.0 * seed)
        found = Chem.MolToInchi(shown_by(inchi, draw(inchi, asked).layout))
        assert stereo_layers(found) == stereo_layers(inchi)


def test_marks_lie_on_the_ink_and_captions_mean_the_molecule() -> None:
    near = []
    for seed, inchi in enumerate(inchis()):
        asked = style(seed, has_circles=False)  # a circle lies inside the bonds that it stands for
        pixels, layout = draw(inchi, asked)
        distances = cv2.distanceTransform((pixels > 0).astype(np.uint8), cv2.DIST_L2, 5) / asked.bond_length_px
        positions_xy = mark_positions(layout)
        assert len(mark_labels(inchi, layout)) == len(positions_xy)
        near += [distances[round(float(y)), round(float(x))] for x, y in positions_xy]
        for turn_deg in (0, 180):
            assert inchi_of_smiles("".join(write_smiles(inchi, layout, True, turn_deg).tokens)) == inchi
    assert np.mean(np.array(near) < 0.16) > 0.98


def test_bonds_are_as_long_and_strokes_as_wide_as_the_style_says() -> None:
    for bond_length_px, stroke_px in ((24.0, 1.0), (40.0, 3.0), (90.0, 7.0)):
        asked = style(1, bond_length_px=bond_length_px, stroke_px=stroke_px, turn_deg=0.0, beside="", ink_below=128)
        asked = asked._replace(
            writes_methyl=False,
            writes_chains=False,
            writes_carbons=False,
            abbreviated_fraction=0.0,
            numbered_fraction=0.0,
        )
        pixels, layout = draw(inchi_of_smiles("CCCCCC"), asked)
        ends = np.stack((layout.atom_x, layout.atom_y), axis=1)
        lengths = np.linalg.norm(ends[layout.bond_begin] - ends[layout.bond_end], axis=1)
        assert np.median(lengths) == pytest.approx(bond_length_px, rel=0.02)
        assert (pixels == 0).sum() / lengths.sum() == pytest.approx(stroke_px, abs=1)


def test_an_amide_is_drawn_and_written_as_one_where_the_style_says_so() -> None:
    for has_amides, text in ((True, "C(=O)N"), (False, "C(O)=N")):
        asked = style(
            0, layout="rdkit", has_amides=has_amides, is_mirrored=False, turn_deg=0.0, abbreviated_fraction=0.0
        )
        smiles = "".join(write_smiles(ACETANILIDE, draw(ACETANILIDE, asked).layout, True).tokens)
        written = Chem.MolFromSmiles(smiles)
        assert written.HasSubstructMatch(Chem.MolFromSmiles(text)), (has_amides, smiles)
        assert not written.HasSubstructMatch(Chem.MolFromSmiles("C(O)=N" if has_amides else "C(=O)N"))
        assert inchi_of_smiles(smiles) == ACETANILIDE


def test_the_atoms_of_an_abbreviation_lie_at_its_label_and_have_no_bond_between_them() -> None:
    whole = draw(ANISOLE, style(0, abbreviated_fraction=0.0)).layout
    layout = draw(ANISOLE, style(0, known_fraction=1.0, abbreviated_fraction=1.0)).layout
    assert (len(whole.bond_begin), len(layout.bond_begin)) == (8, 7)
    oxygen = next(atom.GetIdx() for atom in drawn_molecule(ANISOLE, None).GetAtoms() if atom.GetSymbol() == "O")
    methyl = next(atom.GetIdx() for atom in drawn_molecule(ANISOLE, None).GetAtoms() if atom.GetDegree() == 1)
    at_oxygen = (layout.atom_x == layout.atom_x[oxygen]) & (layout.atom_y == layout.atom_y[oxygen])
    assert np.flatnonzero(at_oxygen).tolist() == sorted((oxygen, methyl))
    assert methyl not in {*layout.bond_begin.tolist(), *layout.bond_end.tolist()}


@pytest.mark.parametrize(
    ("smiles", "spellings"),
    [
        ("c1ccc2ccccc2c1C(=O)OCC", {"CO2Et", "COOEt", "CO2C2H5", "COOC2H5", "CO2CH2CH3"}),
        ("c1ccc2ccccc2c1C(=O)O", {"CO2H", "COOH"}),
        ("c1ccncc1CN(C)C", {"NMe2", "N(CH3)2"}),
        ("c1ccc2ccccc2c1[N+](=O)[O-]", {"NO2"}),
        ("c1ccc2ccccc2c1CCCNC(=O)OC(C)(C)C", {"NHBoc"}),
    ],
)
def test_the_largest_group_is_abbreviated_in_every_spelling(smiles: str, spellings: set[str]) -> None:
    molecule = Chem.MolFromSmiles(smiles)
    rng = np.random.default_rng(0)
    assert {group.right for _ in range(40) for group in groups_of(molecule, rng)} == spellings


def test_one_who_does_not_know_the_largest_group_abbreviates_what_is_in_it() -> None:
    molecule, rng = Chem.MolFromSmiles("c1ccc2ccccc2c1S(C)(=O)=O"), np.random.default_rng(0)
    labels = {group.right for _ in range(40) for group in groups_of(molecule, rng, known_fraction=0.5)}
    assert labels == {"SO2Me", "SO2CH3", "Me", "CH3"}
    assert not groups_of(molecule, rng, known_fraction=0.0)


def test_amides_are_abbreviated_where_they_are_drawn_as_amides() -> None:
    inchi = inchi_of_smiles("c1ccc2ccccc2c1CCCNC(=O)OC(C)(C)C")
    for has_amides, num_bonds in ((True, 15), (False, 19)):  # NHBoc is one label, tBu is one
        asked = style(0, layout="rdkit", has_amides=has_amides, known_fraction=1.0, abbreviated_fraction=1.0)
        assert len(draw(inchi, asked).layout.bond_begin) == num_bonds


def test_every_group_can_be_found_where_it_was_put_and_is_a_molecule() -> None:
    rng, found = np.random.default_rng(0), set()
    for _ in range(4000):
        molecule = with_random_group(Chem.MolFromSmiles("c1ccc2cc3ccccc3cc2c1"), rng)
        assert read_inchi(Chem.MolToInchi(molecule)).GetNumHeavyAtoms() == molecule.GetNumHeavyAtoms()
        found |= {group.right for group in groups_of(molecule, rng)}
    assert found >= {right for spellings in GROUPS.values() for right, _ in spellings}
    assert with_random_group(Chem.MolFromSmiles("ClC(Cl)(Cl)Cl"), rng).GetNumAtoms() == 5


@pytest.mark.parametrize(("group", "left", "anchor"), [("C[OH]", "HOH2C", "C"), ("N(C)C", "(H3C)2N", "N")])
def test_the_atom_at_the_bond_stands_on_it_though_hydrogens_follow(group: str, left: str, anchor: str) -> None:
    spelling = next(spelling for spelling in GROUPS[group] if spelling[1] == left)
    for side in ("left", "right"):
        label = group_label(Group((0,), *spelling), side)
        assert label.runs[label.anchor].text == anchor


def test_numbers_stand_beside_atoms_that_have_no_label() -> None:
    phenol = inchi_of_smiles("Oc1ccccc1")
    plain, numbered = (draw(phenol, style(3, numbered_fraction=part, beside="")) for part in (0.0, 1.0))
    pieces = [cv2.connectedComponents((pixels == 0).astype(np.uint8))[0] for pixels, _ in (plain, numbered)]
    assert pieces[0] + 4 <= pieces[1]
    assert len(plain.layout.bond_begin) == len(numbered.layout.bond_begin)


def test_words_longer_than_the_drawing_are_cut_off() -> None:
    asked = style(0, beside="a line of text that is far longer than any drawing of ethanol " * 3, letter_height=0.5)
    pixels, layout = draw(ETHANOL, asked)
    without, _ = draw(ETHANOL, asked._replace(beside=""))
    assert np.count_nonzero(pixels == 0) > 1.5 * np.count_nonzero(without == 0)
    assert 0 <= layout.atom_y.min() <= layout.atom_y.max() < pixels.shape[0]


@pytest.mark.parametrize(
    ("directions", "can_stack", "side"),
    [
        ([], True, "right"),
        ([(-1, 0)], True, "right"),
        ([(1, 0)], True, "left"),
        ([(-1, 0.2), (1, 0.2)], True, "above"),
        ([(-0.8, -0.6), (0.8, -0.6)], True, "below"),
        ([(-0.8, -0.6), (0.8, -0.6)], False, "right"),
    ],
)
def test_hydrogens_stand_where_there_is_no_bond(directions: list, can_stack: bool, side: str) -> None:
    assert free_side(np.array(directions, float).reshape(-1, 2), can_stack) == side


def test_labels_read_from_their_bond_on() -> None:
    def text(label) -> str:  # type: ignore[no-untyped-def]
        return "".join(run.text for run in label.runs)

    assert text(atom_label("N", 2, 0, 0, "right")) == "NH2"
    assert text(atom_label("N", 2, 0, 0, "left")) == "H2N"
    assert text(atom_label("N", 3, 1, 0, "left")) == "H3N+"
    assert text(atom_label("O", 0, -1, 18, "right")) == "18O-"
    stacked = atom_label("N", 1, 0, 0, "below")
    assert (text(stacked), [run.text for run in stacked.stacked], stacked.is_above) == ("N", ["H"], False)
    group = Group((0, 1), "CO2Me", "MeO2C")
    right, left = group_label(group, "right"), group_label(group, "left")
    assert (right.runs[right.anchor].text, left.runs[left.anchor].text) == ("C", "C")
    assert [run.level for run in right.runs] == [0, 0, -1, 0]


def test_fonts_of_a_folder_are_two_thirds_of_all_but_slanted_ones(tmp_path: Path) -> None:
    for name in ("DejaVuSerif.ttf", "DejaVuSerif-Italic.ttf", "DejaVuSans-Oblique.ttf"):
        (tmp_path / "serifs").mkdir(exist_ok=True)
        shutil.copy(FONTS_FOLDER / name, tmp_path / "serifs" / name)
    asked = fonts_of(str(tmp_path))
    own = [font for font in asked if font not in FONTS]
    assert {Path(font).name for font in own} == {"DejaVuSerif.ttf"}
    assert len(own) == 2 * len(FONTS)
    rng = np.random.default_rng(0)
    drawn_in = {free_style(BONDS_PX, rng, tuple(own)).font for _ in range(5)}
    assert drawn_in == {str(tmp_path / "serifs" / "DejaVuSerif.ttf")}
    as_shipped, as_asked = (
        draw(ETHANOL, style(1, font=font, numbered_fraction=0.0, beside="")).pixels
        for font in ("DejaVuSerif.ttf", own[0])
    )
    assert (as_shipped == as_asked).all()
    assert fonts_of(None) == FONTS


def test_a_folder_without_fonts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("none")
    with pytest.raises(SettingsError, match="fonts_folder"):
        fonts_of(str(tmp_path))


def test_printed_drawings_have_letters_and_strokes_of_ordinary_size_in_upright_fonts() -> None:
    rng = np.random.default_rng(0)
    styles = [printed(style(seed), rng) for seed in range(300)]
    assert max(one.letter_height for one in styles if one.bond_length_px > 20) <= 0.42
    assert max(one.stroke_px / one.bond_length_px for one in styles if one.bond_length_px > 20) <= 0.07
    assert {one.letter_width for one in styles} == {1.0}
    assert {one.turn_deg for one in styles} == {0.0, 30.0, 90.0}
    settings = load_settings("molecules", "local").drawing
    inchi = inchi_of_smiles("CC(=O)Nc1ccc(O)cc1")
    free, one_printed = (
        draw_unworn(inchi, drawer, settings, np.random.default_rng(1)) for drawer in ("free", "printed")
    )
    assert free.bond_length_px == one_printed.bond_length_px
    assert free.drawing.pixels.shape != one_printed.drawing.pixels.shape


def test_letters_are_large_enough_to_be_read() -> None:
    styles = [style(seed) for seed in range(300)]
    heights = [one.letter_height * one.bond_length_px for one in styles]
    assert min(heights) >= MIN_CAPITAL_PX
    assert max(one.letter_height for one in styles) > 0.55
    assert free_style((8.0, 8.0), np.random.default_rng(0)).letter_height == 0.6


@pytest.mark.parametrize("drawer", ["free", "printed", "restyled"])
def test_drawings_are_written_in_the_fonts_that_the_settings_name(tmp_path: Path, drawer: str) -> None:
    shutil.copy(FONTS_FOLDER / "STIXGeneralBol.ttf", tmp_path)
    asked = [
        load_settings("molecules", "local", folder).drawing for folder in ([], [f"drawing.fonts_folder={tmp_path}"])
    ]
    inchi = inchi_of_smiles("CC(=O)Nc1ccc(O)cc1")
    are_same = [
        np.array_equal(*(draw_unworn(inchi, drawer, one, np.random.default_rng(seed)).drawing.pixels for one in asked))
        for seed in range(12)
    ]
    assert not all(are_same)
