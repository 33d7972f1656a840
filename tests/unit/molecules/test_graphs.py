"""Stereo is read off where atoms lie and which bonds are wedges, however a molecule is laid out."""

import numpy as np
import pytest
from rdkit import Chem

from lib.errors import NotationError
from lib.molecules.graphs import graph_of_smiles, variants_of_drawing
from lib.molecules.indigo_drawing import lay_out_with_indigo
from lib.molecules.layout import Layout
from lib.molecules.rdkit_drawing import lay_out_with_rdkit
from model.trace_kinds import HASH, KINDS, NODE_KINDS, NOTHING, SINGLE, TURNED_HASH, TURNED_WEDGE, WEDGE

WITH_STEREO = (
    "C[C@H](N)C(=O)O",
    "C[C@@H](N)C(=O)O",
    "C[C@H](O)[C@@H](C)Cl",
    "C[C@]1(O)CC[C@@H](C(C)C)CC1",
    "O=C1O[C@@H]2CCCC[C@H]2N1",
    "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O",
    "C[C@]12CC[C@H]3[C@@H](CCC4=CC(=O)CC[C@]34C)[C@@H]1CC[C@@H]2O",
    "F/C=C/[C@H](C)N",
    "F/C=C\\[C@H](C)N",
)


def as_drawn(smiles: str, layout_of, turn_deg: float = 0.0) -> tuple[str, np.ndarray, np.ndarray, np.ndarray, str]:
    """A SMILES without its stereo, where its atoms lie, what its bonds look like, and the InChI with its stereo."""
    inchi = Chem.MolToInchi(Chem.MolFromSmiles(smiles))
    molecule = Chem.MolFromInchi(inchi)
    layout: Layout = layout_of(inchi)
    flat = Chem.Mol(molecule)
    for atom in flat.GetAtoms():
        atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    written = Chem.MolToSmiles(flat, canonical=False)
    order = list(flat.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"])
    graph = graph_of_smiles(written)
    wedges = {
        (int(begin), int(end)): (SINGLE, WEDGE, HASH)[int(wedge)]
        for begin, end, wedge in zip(layout.bond_begin, layout.bond_end, layout.bond_wedge, strict=True)
    }
    kinds = np.zeros((len(graph.edges), len(KINDS)))
    turned = {WEDGE: TURNED_WEDGE, HASH: TURNED_HASH, SINGLE: SINGLE}
    for row, (first, second) in zip(kinds, graph.edges, strict=True):
        pair = order[first], order[second]
        row[wedges[pair] if pair in wedges else turned[wedges[pair[::-1]]]] = 1
    open_kinds = np.zeros((len(graph.open_nodes), len(KINDS)))
    for row, node in zip(open_kinds, graph.open_nodes, strict=True):
        drawn = [kind for (begin, end), kind in wedges.items() if begin == order[node] and end >= len(order)]
        row[drawn[0] if drawn else NOTHING] = 1
    angle = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    positions = np.stack((layout.atom_x, layout.atom_y), axis=1)[order] @ turn.T
    return written, positions, kinds, open_kinds, inchi


def as_written(smiles: str, **others: str) -> np.ndarray:
    """Node kinds that say surely what a SMILES has, but for the atoms (`a3` is the third) that look like others."""
    symbols = [atom.GetSymbol() for atom in Chem.MolFromSmiles(smiles).GetAtoms()]
    symbols = [others.get(f"a{number}", symbol) for number, symbol in enumerate(symbols, start=1)]
    return np.eye(len(NODE_KINDS))[[NODE_KINDS.index(symbol) for symbol in symbols]]


@pytest.mark.parametrize("layout_of", [lay_out_with_rdkit, lay_out_with_indigo])
@pytest.mark.parametrize("smiles", WITH_STEREO)
def test_the_stereo_of_a_layout_is_read_off_it(smiles: str, layout_of) -> None:
    text, positions, kinds, open_kinds, inchi = as_drawn(smiles, layout_of, turn_deg=40)
    assert next(iter(variants_of_drawing(text, positions, kinds, open_kinds, as_written(text)))) == inchi


def test_a_mirrored_layout_has_the_other_configurations() -> None:
    text, positions, kinds, open_kinds, inchi = as_drawn("C[C@H](N)C(=O)O", lay_out_with_rdkit)
    other = Chem.MolToInchi(Chem.MolFromSmiles("C[C@@H](N)C(=O)O"))
    assert (
        next(iter(variants_of_drawing(text, positions * [-1, 1], kinds, open_kinds, as_written(text))))
        == other
        != inchi
    )


def test_probabilities_follow_what_bonds_look_like() -> None:
    text, positions, kinds, open_kinds, inchi = as_drawn("C[C@H](N)C(=O)O", lay_out_with_rdkit)
    plain = np.zeros_like(kinds)
    plain[:, SINGLE] = 1
    found = variants_of_drawing(text, positions, 0.7 * kinds + 0.3 * plain, np.zeros_like(open_kinds), as_written(text))
    without = Chem.MolToInchi(Chem.MolFromSmiles("CC(N)C(=O)O"))
    assert found[inchi] == pytest.approx(0.7, abs=0.01)
    assert found[without] == pytest.approx(0.3, abs=0.01)


def test_captions_that_differ_in_stereo_alone_have_one_skeleton() -> None:
    one, other, unlike = map(graph_of_smiles, ("C[C@H](N)C(O)=O", "OC(=O)[C@H](C)N", "C[C@H](N)CC(O)=O"))
    assert one.skeleton == other.skeleton != unlike.skeleton
    assert one.tokens == [0, 1, 3, 5, 7, 10]
    assert [one.is_lettered[node] for node in range(6)] == [False, False, True, False, True, True]
    assert one.open_nodes == [1]


@pytest.mark.parametrize(
    ("smiles", "others", "meant"),
    [
        ("C1=CC=CO1", {"a5": "S"}, "c1ccsc1"),
        ("CC(=O)O", {"a3": "S", "a4": "S"}, "CC(=S)S"),
        ("CC1=CC=CC=C1", {"a1": "CF3"}, "FC(F)(F)c1ccccc1"),
        ("COC1=CC=CC=C1", {"a2": "OCF3"}, "FC(F)(F)Oc1ccccc1"),
        ("CC1=CC=C(Cl)C=C1", {"a1": "I", "a6": "Br"}, "Brc1ccc(I)cc1"),
        ("C[C@H](O)C(C)C", {"a1": "CF3"}, "CC(C)C(O)C(F)(F)F"),
        ("FC(F)(F)C1=CC=CC=C1", {}, "FC(F)(F)c1ccccc1"),
        ("CC(=O)O", {"a2": "S", "a3": "N"}, "CC(=O)O"),  # which cannot take their place
        ("CS(=O)(=O)C", {"a2": "O"}, "CS(C)(=O)=O"),
        ("C[NH+](C)C", {"a1": "N"}, "C[NH+](C)C"),
        ("CCBr", {"a3": "C"}, "CCBr"),  # where tracing has missed a label there is nothing
    ],
)
def test_what_is_written_at_atoms_decides_between_those_that_take_each_others_place(
    smiles: str, others: dict[str, str], meant: str
) -> None:
    graph = graph_of_smiles(smiles)
    kinds, open_kinds = (np.zeros((len(part), len(KINDS))) for part in (graph.edges, graph.open_nodes))
    positions = np.random.default_rng(0).normal(0, 40, (len(graph.tokens), 2))
    found = variants_of_drawing(smiles, positions, kinds, open_kinds, as_written(smiles, **others))
    without_stereo = {caption.split("/t")[0]: probability for caption, probability in found.items()}
    assert next(iter(without_stereo)) == Chem.MolToInchi(Chem.MolFromSmiles(meant))


@pytest.mark.parametrize(("probability", "is_changed"), [(0.8, False), (0.99, True)])
def test_only_what_is_surely_written_otherwise_is_changed(probability: float, is_changed: bool) -> None:
    text = "CC1=CC=CO1"
    kinds = np.zeros((len(graph_of_smiles(text).edges), len(KINDS)))
    node_kinds = probability * as_written(text, a6="S") + (1 - probability) * as_written(text)
    found = variants_of_drawing(text, np.arange(12.0).reshape(6, 2), kinds, kinds[:0], node_kinds)
    assert (max(found, key=found.__getitem__) == "InChI=1S/C5H6S/c1-5-3-2-4-6-5/h2-4H,1H3") == is_changed


@pytest.mark.parametrize("text", ["", "C(", "C1CC", "[Xx]"])
def test_what_is_no_molecule_has_no_graph(text: str) -> None:
    with pytest.raises(NotationError):
        graph_of_smiles(text)
