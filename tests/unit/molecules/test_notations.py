"""InChI and SMILES to tokens and back: `pytest tests/unit/molecules/test_notations.py`."""

import numpy as np
import pytest
from rdkit import Chem

from lib.captions.notations import notation_named
from lib.errors import NotationError
from lib.molecules.indigo_drawing import lay_out_with_indigo
from lib.molecules.layout import Layout
from lib.molecules.notations import NOTATIONS
from lib.molecules.rdkit_drawing import draw_with_rdkit
from lib.molecules.redrawn import layout_as_drawn
from lib.molecules.smiles import inchi_of_smiles, nearest_readable, read_inchi, write_smiles
from lib.sections.molecules import Pen
from tests.unit.molecules.drawn_molecules import inchis

INCHI = notation_named("inchi")
WORDS = notation_named("words")
PEN = Pen(40.0, 4, 1, "BuiltinTelexRegular")
SMILES = [name for name in NOTATIONS if name.startswith("smiles")]
LABELS = [
    "InChI=1S/C13H20OS/c1-9(2)8-15-13-6-5-10(3)7-12(13)11(4)14/h5-7,9,11,14H,8H2,1-4H3",
    "InChI=1S/C2H4BrCl/c3-1-2-4/h1-2H2",
    "InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)/t2-/m0/s1",  # alanine: one centre
    "InChI=1S/C4H4O4/c5-3(6)1-2-4(7)8/h1-2H,(H,5,6)(H,7,8)/b2-1+",  # fumaric acid: one side of a double bond
    "InChI=1S/C8H6N2/c1-2-4-8-7(3-1)9-5-6-10-8/h1-6H",  # quinoxaline: aromatic
    "InChI=1S/C5H12NO2/c1-6(2,3)4-5(7)8/h4H2,1-3H3/p+1",  # charged
]


def test_an_inchi_is_cut_into_elements_layers_whole_numbers_and_signs():
    assert INCHI.write("InChI=1S/C13H20OBr/c1-9(2)/t3-,10?/m0/s1", None, 0).tokens == [
        "C",
        "13",
        "H",
        "20",
        "O",
        "Br",
        "/c",
        "1",
        "-",
        "9",
        "(",
        "2",
        ")",
        "/t",
        "3",
        "-",
        ",",
        "10",
        "?",
        "/m",
        "0",
        "/s",
        "1",
    ]


def test_numbers_of_the_connection_layer_name_atoms_and_others_do_not():
    writing = INCHI.write("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3", None, 0)
    named = [(token, atom) for token, atom in zip(writing.tokens, writing.marks, strict=True) if atom >= 0]
    assert named == [("1", 0), ("2", 1), ("3", 2)]


@pytest.mark.parametrize("label", LABELS)
def test_an_inchi_comes_back_as_it_was(label: str):
    assert INCHI.join(INCHI.write(label, None, 0).tokens) == label


def layout_at(x: list[float], y: list[float] | None = None) -> Layout:
    """Atoms there, without a bond."""
    none = np.zeros(0, int)
    return Layout(np.array(x, np.float32), np.array(y or [0] * len(x), np.float32), none, none, none, none)


@pytest.mark.parametrize("label", LABELS[:5])
@pytest.mark.parametrize("name", SMILES)
def test_every_smiles_comes_back_as_the_same_inchi(name: str, label: str):
    notation = notation_named(name)
    num_atoms = read_inchi(label).GetNumAtoms()
    positions_xy = np.random.default_rng(0).normal(size=(2, num_atoms)).tolist()
    for layout in (None, layout_at(*positions_xy)._asdict(), lay_out_with_indigo(label)._asdict()):
        assert notation.read(notation.join(notation.write(label, layout, 0).tokens)) == label


def test_atoms_named_by_tokens_follow_their_places_from_left_to_right():
    chain = "InChI=1S/C4H10O/c1-2-3-4-5/h5H,2-4H2,1H3"
    writing = notation_named("smiles_drawn").write(chain, layout_at([4, 3, 2, 1, 0])._asdict(), 0)
    assert writing.tokens == ["O", "C", "C", "C", "C"]
    assert writing.marks == [4, 3, 2, 1, 0]


def test_hydrogens_that_the_drawer_made_explicit_are_not_written():
    alanine = LABELS[2]
    layout = lay_out_with_indigo(alanine)
    writing = notation_named("smiles_drawn").write(alanine, layout._asdict(), 0)
    assert len(layout.atom_x) == 7
    assert sorted(atom for atom in writing.marks if atom >= 0) == list(range(6))
    with pytest.raises(NotationError, match="has 6 atoms, its layout 5"):
        notation_named("smiles_drawn").write(alanine, layout_at([0, 1, 2, 3, 4])._asdict(), 0)


def double_bonds(inchi: str, layout: Layout) -> set[tuple[int, int]]:
    """Those of the SMILES that is written from a layout, between atoms of the InChI."""
    writing = write_smiles(inchi, layout, is_kekule=True)
    smiles = "".join(writing.tokens)
    assert inchi_of_smiles(smiles) == inchi
    written = [atom for atom in writing.marks if atom >= 0]
    molecule = Chem.MolFromSmiles(smiles, sanitize=False)  # atoms in the order of the tokens
    return {
        tuple(sorted((written[bond.GetBeginAtomIdx()], written[bond.GetEndAtomIdx()])))
        for bond in molecule.GetBonds()
        if bond.GetBondTypeAsDouble() == 2
    }


def drawn_double_bonds(layout: Layout) -> set[tuple[int, int]]:
    ends = zip(layout.bond_begin.tolist(), layout.bond_end.tolist(), layout.bond_order.tolist(), strict=True)
    return {tuple(sorted((begin, end))) for begin, end, order in ends if order == 2}


def test_double_bonds_are_written_where_they_are_drawn():
    num_moved = 0
    for inchi in inchis():
        layout, of_rdkit = lay_out_with_indigo(inchi), draw_with_rdkit(inchi, PEN).layout
        assert double_bonds(inchi, layout) == drawn_double_bonds(layout)
        assert double_bonds(inchi, of_rdkit) == drawn_double_bonds(of_rdkit)
        num_moved += drawn_double_bonds(layout) != drawn_double_bonds(of_rdkit)
    assert num_moved >= 4  # of forty molecules


def test_double_bonds_are_rdkits_where_the_layout_has_other_bonds_than_the_molecule():
    pyridine = "InChI=1S/C5H5N/c1-2-4-6-5-3-1/h1-5H"
    layout = lay_out_with_indigo(pyridine)
    of_rdkit = drawn_double_bonds(draw_with_rdkit(pyridine, PEN).layout)
    for wrong in (
        layout._replace(bond_order=np.ones(6)),  # one more hydrogen everywhere
        layout._replace(bond_order=np.full(6, 1.5)),  # no order that can be drawn
        layout._replace(bond_begin=(layout.bond_begin + 2) % 6),  # between atoms that have no bond
        layout._replace(bond_order=3 - layout.bond_order)._replace(bond_order=np.array([2, 2, 1, 1, 1, 1.0])),
    ):
        assert double_bonds(pyridine, wrong) == of_rdkit


def test_a_kekule_smiles_has_the_double_bonds_and_an_aromatic_one_small_letters():
    benzene = "InChI=1S/C6H6/c1-2-4-6-5-3-1/h1-6H"
    assert notation_named("smiles_kekule").write(benzene, None, 0).tokens.count("=") == 3
    assert "c" in notation_named("smiles").write(benzene, None, 0).tokens


def order_of(inchi: str, rotation_deg: int) -> list[int]:
    return notation_named("smiles_drawn").write(inchi, None, rotation_deg).marks


def test_a_layout_higher_than_wide_is_turned_with_the_image_that_cleaning_laid_down():
    high = "InChI=1S/C8H8O3/c1-5-3-7(10)8(11-2)4-6(5)9/h3-4H,1-2H3"
    layout = layout_as_drawn(high)
    assert np.ptp(layout.atom_y) > np.ptp(layout.atom_x)
    turned = layout._replace(atom_x=-layout.atom_y, atom_y=layout.atom_x)  # clockwise: what was below comes to the left
    assert order_of(high, 0) == notation_named("smiles_drawn").write(high, layout._asdict(), 0).marks
    assert order_of(high, 90) == notation_named("smiles_drawn").write(high, turned._asdict(), 0).marks
    assert order_of(high, 90) != order_of(high, 0)


def test_a_layout_wider_than_high_stays_though_its_image_arrived_turned_and_was_turned_back():
    chain = "InChI=1S/C4H10O/c1-2-3-4-5/h5H,2-4H2,1H3"
    assert order_of(chain, 90) == order_of(chain, 0)


@pytest.mark.parametrize("caption", ["", "CCO", "InChI=1/C2H6O/c1-2-3/h3H,2H2,1H3"])
def test_what_is_no_standard_inchi_is_refused_with_what_was_seen(caption: str):
    with pytest.raises(NotationError, match="is no standard InChI"):
        INCHI.write(caption, None, 0)


def test_only_a_molecule_is_read_and_in_standard_form():
    assert INCHI.read("InChI=1S/CH4/h1H4") == "InChI=1S/CH4/h1H4"
    assert INCHI.read("InChI=1S/") is None
    assert INCHI.read("InChI=1S/C2H6O/c1-2-9/h3H,2H2,1H3") is None
    assert INCHI.read("a dog runs") is None
    assert notation_named("smiles").read("OCC") == "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"
    assert [notation_named("smiles").read(text) for text in ("", "C1CC", "C(", "CN(C)(C)(C)C")] == [None] * 4


def test_a_radical_is_not_what_a_drawing_shows():
    drawn = notation_named("smiles_drawn_kekule")
    assert drawn.read("CC(=[O+])N") is None
    assert drawn.read("C[CH2]") is None
    assert drawn.read("CC(=O)N") is not None
    assert notation_named("smiles").read("C[CH2]") is not None  # a label of one's own may be one


@pytest.mark.parametrize(
    "salt",
    ["InChI=1S/C6H7N.ClH/c7-6-4-2-1-3-5-6;/h1-5H,7H2;1H", "InChI=1S/2C2H4O2.Ca/c2*1-2(3)4;/h2*1H3,(H,3,4);/q;;+2/p-2"],
)
def test_a_salt_is_read_in_every_notation_and_names_no_atom_where_its_parts_are_counted_anew(salt: str):
    for name in ("inchi", "smiles", "smiles_drawn_kekule"):
        notation = notation_named(name)
        writing = notation.write(salt, None, 0)
        assert notation.read(notation.join(writing.tokens)) == salt
        assert (max(writing.marks) == -1) == (name == "inchi")


def test_heavy_hydrogen_has_a_place_in_the_drawing():
    heavy_water, chloroform = "InChI=1S/H2O/h1H2/i/hD2", "InChI=1S/CHCl3/c2-1(3)4/h1H/i1D"
    assert len(layout_as_drawn(heavy_water).atom_x) == 3
    writing = notation_named("smiles_drawn").write(chloroform, None, 0)
    assert "[2H]" in writing.tokens
    assert sorted(atom for atom in writing.marks if atom >= 0) == [0, 1, 2, 3, 4]
    assert notation_named("smiles_drawn").read("".join(writing.tokens)) == chloroform


def test_what_cannot_be_read_is_repaired_to_its_longest_readable_beginning():
    assert nearest_readable("CCO)") == "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"
    assert nearest_readable("C1CO") == "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"
    assert nearest_readable("CCO(C)(C)C") == "InChI=1S/C3H8O/c1-3-4-2/h3H2,1-2H3"
    assert nearest_readable("((") == ""


@pytest.mark.parametrize("text", ["CC\u041e", "\u03b1CC", "CC\u200b", "C l", "CC(=O)O c1ccccc1", "CCO |$_R1;;$|", ""])
def test_what_rdkit_would_cut_off_a_smiles_makes_it_none(text: str) -> None:
    assert notation_named("smiles").read(text) is None
    assert notation_named("smiles").read_typed(text) is None


def test_blanks_around_a_smiles_do_not_matter() -> None:
    assert notation_named("smiles").read(" CCO\n") == "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"
