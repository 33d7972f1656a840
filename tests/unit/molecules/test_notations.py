"""InChI and SMILES to tokens and back: `pytest tests/unit/molecules/test_notations.py`."""

import numpy as np
import pytest

from lib.captions.notations import notation_named
from lib.errors import NotationError
from lib.molecules.drawing import places_as_drawn
from lib.molecules.notations import NOTATIONS
from lib.molecules.smiles import nearest_readable

INCHI = notation_named("inchi")
SMILES = [name for name in NOTATIONS if name.startswith("smiles")]
LABELS = [
    "InChI=1S/C13H20OS/c1-9(2)8-15-13-6-5-10(3)7-12(13)11(4)14/h5-7,9,11,14H,8H2,1-4H3",
    "InChI=1S/C2H4BrCl/c3-1-2-4/h1-2H2",
    "InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)/t2-/m0/s1",  # alanine: one hand
    "InChI=1S/C4H4O4/c5-3(6)1-2-4(7)8/h1-2H,(H,5,6)(H,7,8)/b2-1+",  # fumaric acid: one side of a double bond
    "InChI=1S/C8H6N2/c1-2-4-8-7(3-1)9-5-6-10-8/h1-6H",  # quinoxaline: aromatic
    "InChI=1S/C5H12NO2/c1-6(2,3)4-5(7)8/h4H2,1-3H3/p+1",  # charged
]


def test_an_inchi_is_cut_into_elements_layers_whole_numbers_and_signs():
    assert INCHI.write("InChI=1S/C13H20OBr/c1-9(2)/t3-,10?/m0/s1", None, 0).tokens == [
        "C", "13", "H", "20", "O", "Br", "/c", "1", "-", "9", "(", "2", ")", "/t", "3", "-", ",", "10", "?", "/m", "0",
        "/s", "1",
    ]


def test_numbers_of_the_connection_layer_name_atoms_and_others_do_not():
    writing = INCHI.write("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3", None, 0)
    named = [(token, atom) for token, atom in zip(writing.tokens, writing.marks, strict=True) if atom >= 0]
    assert named == [("1", 0), ("2", 1), ("3", 2)]


@pytest.mark.parametrize("label", LABELS)
def test_an_inchi_comes_back_as_it_was(label: str):
    assert INCHI.join(INCHI.write(label, None, 0).tokens) == label


@pytest.mark.parametrize("label", LABELS[:5])
@pytest.mark.parametrize("name", SMILES)
def test_every_smiles_comes_back_as_the_same_inchi(name: str, label: str):
    notation = notation_named(name)
    places = None
    if "drawn" in name:
        places = np.random.default_rng(0).normal(size=(60, 2))[: len(notation.write(label, None, 0).marks)]
        places = places[: 1 + max(notation.write(label, None, 0).marks)]
    assert notation.read(notation.join(notation.write(label, places, 0).tokens)) == label


def test_atoms_named_by_tokens_follow_their_places_from_left_to_right():
    chain = "InChI=1S/C4H10O/c1-2-3-4-5/h5H,2-4H2,1H3"
    places = np.array([[4, 0], [3, 0], [2, 0], [1, 0], [0, 0]])
    writing = notation_named("smiles_drawn").write(chain, places, 0)
    assert writing.tokens == ["O", "C", "C", "C", "C"]
    assert writing.marks == [4, 3, 2, 1, 0]


def test_a_kekule_smiles_has_the_double_bonds_and_an_aromatic_one_small_letters():
    benzene = "InChI=1S/C6H6/c1-2-4-6-5-3-1/h1-6H"
    assert notation_named("smiles_kekule").write(benzene, None, 0).tokens.count("=") == 3
    assert "c" in notation_named("smiles").write(benzene, None, 0).tokens


def order_of(inchi: str, rotation_deg: int) -> list[int]:
    return notation_named("smiles_drawn").write(inchi, None, rotation_deg).marks


def test_a_layout_higher_than_wide_is_turned_with_the_picture_that_cleaning_laid_down():
    high = "InChI=1S/C14H18O3/c1-8-4-9-6-12(15)16-11-7-14(2,3)17-10(5-8)13(9)11/h4-5,11-12,15H,6-7H2,1-3H3"
    places = places_as_drawn(high)
    assert np.ptp(places[:, 1]) > np.ptp(places[:, 0])
    turned = np.stack((-places[:, 1], places[:, 0]), axis=1)  # clockwise: what was below comes to the left
    assert order_of(high, 0) == notation_named("smiles_drawn").write(high, places, 0).marks
    assert order_of(high, 90) == notation_named("smiles_drawn").write(high, turned, 0).marks
    assert order_of(high, 90) != order_of(high, 0)


def test_a_layout_wider_than_high_stays_though_its_picture_arrived_turned_and_was_turned_back():
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


@pytest.mark.parametrize("salt", [
    "InChI=1S/C6H7N.ClH/c7-6-4-2-1-3-5-6;/h1-5H,7H2;1H", "InChI=1S/2C2H4O2.Ca/c2*1-2(3)4;/h2*1H3,(H,3,4);/q;;+2/p-2",
])
def test_a_salt_is_read_in_every_notation_and_names_no_atom_where_its_parts_are_counted_anew(salt: str):
    for name in ("inchi", "smiles", "smiles_drawn_kekule"):
        notation = notation_named(name)
        writing = notation.write(salt, None, 0)
        assert notation.read(notation.join(writing.tokens)) == salt
        assert (max(writing.marks) == -1) == (name == "inchi")


def test_heavy_hydrogen_has_a_place_in_the_drawing():
    heavy_water, chloroform = "InChI=1S/H2O/h1H2/i/hD2", "InChI=1S/CHCl3/c2-1(3)4/h1H/i1D"
    assert len(places_as_drawn(heavy_water)) == 3
    writing = notation_named("smiles_drawn").write(chloroform, None, 0)
    assert "[2H]" in writing.tokens
    assert sorted(atom for atom in writing.marks if atom >= 0) == [0, 1, 2, 3, 4]
    assert notation_named("smiles_drawn").read("".join(writing.tokens)) == chloroform


def test_what_cannot_be_read_is_repaired_to_its_longest_readable_beginning():
    assert nearest_readable("CCO)") == "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"
    assert nearest_readable("C1CO") == "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"
    assert nearest_readable("CCO(C)(C)C") == "InChI=1S/C3H8O/c1-3-4-2/h3H2,1-2H3"
    assert nearest_readable("((") == ""
