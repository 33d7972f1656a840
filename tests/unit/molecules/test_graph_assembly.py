"""A molecule is put together of what is seen of its nodes and edges."""

import math

import numpy as np
import pytest
from rdkit import Chem

from lib.captions.notation_process import SafeNotation
from lib.captions.notations import DrawnGraph
from lib.molecules.atom_labels import GROUPS
from lib.molecules.drawing_marks import ELEMENTS
from lib.molecules.graph_assembly import UNWRITTEN, assemble
from lib.molecules.indigo_drawing import lay_out_with_indigo
from lib.molecules.layout import Layout
from lib.molecules.lost_strokes import MAX_LOST
from lib.molecules.notations import NOTATIONS
from lib.molecules.rdkit_drawing import lay_out_with_rdkit
from lib.molecules.smiles import drawn_molecule, inchi_of_smiles
from model.graph_kinds import CHARGES, DOUBLE, HASH, KINDS, MAX_HYDROGENS, NOTHING, SINGLE, TRIPLE, WEDGE, WRITTEN_KINDS

SURE, UNSURE = 0.9, 0.05
AROUND = [(20 * math.cos(angle), 20 * math.sin(angle)) for angle in np.arange(6) * math.pi / 3]
RING = [*AROUND, (40, 0)]  # the last beside the first
STAR = [(0, 0), *AROUND[::2], AROUND[3]]  # around the first


def seen(
    names: list[str], edges: dict[tuple[int, int], int], positions_xy: object = None, hydrogens: list[int] | None = None
) -> DrawnGraph:
    """A graph that is seen as it is, but for some doubt; without `hydrogens` their number is not."""
    count = len(names)
    kinds = np.full((count, len(WRITTEN_KINDS)), 1e-3)
    charges = np.full((count, len(CHARGES)), 1e-3)
    for row, of_charges, name in zip(kinds, charges, names, strict=True):
        symbol, charge = (name[:-1], name[-1]) if name[-1] in "+-" and name not in GROUPS else (name, "")
        row[WRITTEN_KINDS.index(symbol)] = SURE
        of_charges[CHARGES.index({"": 0, "+": 1, "-": -1}[charge])] = SURE
    of_edges = np.full((len(edges), len(KINDS)), 1e-3)
    of_edges[np.arange(len(edges)), list(edges.values())] = SURE
    places = np.stack((20.0 * np.arange(count), 10.0 * (np.arange(count) % 2)), axis=1)
    return DrawnGraph(
        places if positions_xy is None else np.array(positions_xy, float),
        np.full(count, SURE),
        kinds,
        charges,
        np.full((count, 1 + MAX_HYDROGENS), 1 / (1 + MAX_HYDROGENS)) if hydrogens is None else written(hydrogens),
        np.full(count, 1 / count),
        np.array(list(edges), np.int64).reshape(-1, 2),
        of_edges,
        np.array(1.0),
    )


def written(hydrogens: list[int]) -> np.ndarray:
    of_nodes = np.full((len(hydrogens), 1 + MAX_HYDROGENS), 1e-3)
    of_nodes[np.arange(len(hydrogens)), hydrogens] = SURE
    return of_nodes


def seen_as_laid_out(inchi: str, layout: Layout) -> DrawnGraph:
    molecule = drawn_molecule(inchi, layout)
    names = [f"{atom.GetSymbol()}{ {1: '+', -1: '-'}.get(atom.GetFormalCharge(), '') }" for atom in molecule.GetAtoms()]
    names += ["H"] * (len(layout.atom_x) - len(names))
    bonds = zip(layout.bond_begin, layout.bond_end, layout.bond_order, layout.bond_wedge, strict=True)
    edges = {
        (int(begin), int(end)): {1: WEDGE, 2: HASH}.get(int(wedge), {1: SINGLE, 2: DOUBLE, 3: TRIPLE}[int(order)])
        for begin, end, order, wedge in bonds
    }
    return seen(names, edges, np.stack((layout.atom_x, layout.atom_y), axis=1))


def inchi_of(graph: DrawnGraph) -> str | None:
    found = assemble(graph)
    return inchi_of_smiles(found[0].text) if found else None


@pytest.mark.parametrize("lay_out", [lay_out_with_indigo, lay_out_with_rdkit])
@pytest.mark.parametrize(
    "smiles",
    [
        "CC(=O)Nc1ccc(O)cc1",
        "C[C@H](N)C(=O)O",
        "C[C@@H](N)C(=O)O",
        "F/C=C/[C@H](C)N",
        "F/C=C\\[C@H](C)N",
        "C[N+](C)(C)CC(=O)[O-]",
        "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O",
        "CS(=O)(=O)c1ccc(C#N)cc1",
        "O=[N+]([O-])c1ccc2[nH]ccc2c1",
        "CP(=O)(O)O",
        "[O-][n+]1ccccc1",
        "O=C1CC[C@H](/C=C/C)N1C",  # RDKit's wedge ends at the double bond
    ],
)
def test_what_is_laid_out_is_put_together_again(smiles: str, lay_out) -> None:
    inchi = Chem.MolToInchi(Chem.MolFromSmiles(smiles))
    assert inchi_of(seen_as_laid_out(inchi, lay_out(inchi))) == inchi


@pytest.mark.parametrize("group", [name for name in WRITTEN_KINDS if name not in (*ELEMENTS, "H")])
def test_a_group_is_all_that_its_label_stands_for(group: str) -> None:
    expected = Chem.MolToInchi(Chem.MolFromSmiles(f"N1CC1{group}"))
    ring = {(0, 1): SINGLE, (1, 2): SINGLE, (2, 0): SINGLE, (2, 3): SINGLE}
    assert inchi_of(seen(["N", "C", "C", group], ring, [[0, 0], [20, 0], [10, 17], [10, 37]])) == expected


def test_every_kind_is_an_element_hydrogen_or_a_known_group() -> None:
    assert set(WRITTEN_KINDS) == {*ELEMENTS, "H", *GROUPS}


def test_of_two_faults_the_less_likely_is_mended() -> None:
    bonds = {(0, 1): DOUBLE, (1, 2): DOUBLE, (1, 3): SINGLE, (3, 4): SINGLE}
    graph = seen(["C"] * 5, bonds, [(0, 0), (20, 0), (30, 17), (30, -17), (50, -17)])
    graph.edges[1, SINGLE] = 0.4  # five bonds at one carbon: one of the double ones is surer than the other
    assert inchi_of(graph) == inchi_of_smiles("C=C(C)CC")
    charged = seen(["N", "C", "C", "C", "C"], {(0, one): SINGLE for one in range(1, 5)}, STAR)
    charged.charges[0, CHARGES.index(1)] = 0.4
    assert inchi_of(charged) == inchi_of_smiles("C[N+](C)(C)C")


def test_a_group_in_the_middle_is_what_it_next_likely_is() -> None:
    graph = seen(["C", "OC", "C"], {(0, 1): SINGLE, (1, 2): SINGLE})
    graph.kinds[1, WRITTEN_KINDS.index("O")] = 0.05
    assert inchi_of(graph) == inchi_of_smiles("COC")


def test_what_a_piece_may_be_instead_is_there_with_its_probability() -> None:
    graph = seen(["C", "C", "O", "N"], {(0, 1): SINGLE, (1, 2): DOUBLE, (1, 3): SINGLE})
    graph.kinds[2, WRITTEN_KINDS.index("S")] = 0.3
    graph.edges[2, WEDGE] = 0.1  # at no centre: the same molecule
    (best, other) = assemble(graph)
    assert (best.text, other.text) == ("CC(N)=O", "CC(N)=S")
    assert other.log_probability - best.log_probability == pytest.approx(math.log(0.3 / SURE))


def test_a_double_bond_may_have_a_configuration_that_the_caption_does_not_name() -> None:
    inchi = inchi_of_smiles("F/C=C/C(C)N")
    found = assemble(seen_as_laid_out(inchi, lay_out_with_rdkit(inchi)))
    assert [inchi_of_smiles(one.text) for one in found] == [inchi, inchi_of_smiles("FC=CC(C)N")]


def test_what_stands_apart_is_left_out() -> None:
    graph = seen(["C", "O", "N", "N"], {(0, 1): SINGLE, (1, 2): NOTHING})
    graph.edges[1] = np.where(np.arange(len(KINDS)) == NOTHING, 0.99, 1e-3)
    assert inchi_of(graph) == inchi_of_smiles("CO")


def test_what_has_little_of_the_ink_is_no_molecule() -> None:
    graph = seen(["C", "O", "N", "N"], {(0, 1): SINGLE, (1, 2): NOTHING})
    graph.edges[1] = np.where(np.arange(len(KINDS)) == NOTHING, 0.99, 1e-3)
    assert inchi_of(graph._replace(ink=np.array([0.2, 0.25, 0.2, 0.1]))) == inchi_of_smiles("CO")
    assert assemble(graph._replace(ink=np.array([0.2, 0.15, 0.3, 0.3]))) == []


def test_of_two_molecules_nothing_is_said() -> None:
    edges = {(0, 1): SINGLE, (1, 2): SINGLE, (2, 3): SINGLE, (4, 5): SINGLE, (5, 6): SINGLE, (6, 7): SINGLE}
    assert assemble(seen(["C"] * 8, edges)) == []
    assert inchi_of(seen(["C"] * 7, {pair: kind for pair, kind in edges.items() if 7 not in pair})) is not None


def test_parts_between_which_a_stroke_may_be_lost_are_joined() -> None:
    graph = seen(["C", "O", "C", "N"], {(0, 1): SINGLE, (1, 2): NOTHING, (2, 3): SINGLE})
    graph.edges[1, SINGLE] = 0.09
    assert inchi_of(graph) == inchi_of_smiles("COCN")
    apart = graph.positions_xy + np.array([[0, 0], [0, 0], [20, 0], [20, 0]])  # as ions are
    assert inchi_of(graph._replace(positions_xy=apart)) in (inchi_of_smiles("CO"), inchi_of_smiles("CN"))


def test_double_bonds_alternate_in_a_ring_with_a_circle() -> None:
    ring = {(one, (one + 1) % 6): SINGLE for one in range(6)} | {(0, 6): SINGLE}
    graph = seen(["C"] * 6 + ["Cl"], ring, RING)
    graph.edges[:6, [SINGLE, DOUBLE]] = [[0.5, 0.4], [0.4, 0.5], [0.4, 0.5], [0.5, 0.4], [0.4, 0.5], [0.5, 0.4]]
    assert inchi_of(graph) == inchi_of_smiles("Clc1ccccc1")
    graph.edges[:6, [SINGLE, DOUBLE]] = [0.99, 0.001]
    assert inchi_of(graph) == inchi_of_smiles("ClC1CCCCC1")


@pytest.mark.parametrize("smiles", ["Cc1ccco1", "Cc1nnco1", "Cc1ncon1", "Cn1cccc1", "Cn1ccnc1C", "Cc1csc(Cl)n1"])
def test_double_bonds_alternate_in_a_ring_of_five_with_a_circle(smiles: str) -> None:
    inchi = inchi_of_smiles(smiles)
    graph = seen_as_laid_out(inchi, lay_out_with_rdkit(inchi))
    molecule = drawn_molecule(inchi, lay_out_with_rdkit(inchi))
    Chem.FastFindRings(molecule)
    atoms = {atom.GetIdx() for atom in molecule.GetAtoms() if atom.IsInRing()}
    in_ring = np.array([set(pair) <= atoms for pair in graph.pairs.tolist()])
    graph.edges[np.ix_(in_ring, [SINGLE, DOUBLE])] = [0.7, 0.25]
    assert inchi_of(graph) == inchi


@pytest.mark.parametrize(("diagonals", "smiles"), [([(0, 2), (1, 3)], "C12CC1C2"), ([], "CC(C)(C)C")])
def test_a_place_where_two_bonds_cross_is_no_atom(diagonals: list[tuple[int, int]], smiles: str) -> None:
    sides = [(0, 1), (1, 2), (2, 3)] if diagonals else []
    edges = dict.fromkeys([*sides, *diagonals, (0, 4), (1, 4), (2, 4), (3, 4)], SINGLE)
    graph = seen(["C"] * 5, edges, [(0, 0), (20, 0), (20, 20), (0, 20), (10, 11)])
    assert inchi_of(graph) == inchi_of_smiles(smiles)


def test_of_two_ends_in_one_direction_the_likelier_stays() -> None:
    edges = {(0, 1): SINGLE, (1, 2): SINGLE, (1, 3): SINGLE, (2, 3): SINGLE}
    places = [(0, 0), (20, 0), (38, 2), (38, -5)]
    graph = seen(["C", "C", "N", "C"], edges, places)
    graph.found[3] = 0.5
    assert inchi_of(graph) == inchi_of_smiles("CCN")
    apart = graph._replace(positions_xy=np.array([*places[:3], (30, -17)], float))
    assert inchi_of(apart) == inchi_of_smiles("CC1CN1")
    longer = seen(["C", "C", "N", "C", "C"], edges | {(3, 4): SINGLE}, [*places, (58, -5)])  # no end: it goes on
    longer.found[3] = 0.5
    assert inchi_of(longer) != inchi_of_smiles("CCN")


def test_double_bonds_alternate_in_a_ring_with_dashes_of_which_two_seem_surely_double() -> None:
    ring = {(one, (one + 1) % 6): SINGLE for one in range(6)} | {(0, 6): SINGLE}
    graph = seen(["C"] * 6 + ["Cl"], ring, RING)
    graph.edges[:6, [SINGLE, DOUBLE]] = [[0.02, 0.95], [0.02, 0.93], [0.4, 0.6], [0.3, 0.6], [0.4, 0.6], [0.3, 0.6]]
    assert inchi_of(graph) == inchi_of_smiles("Clc1ccccc1")


def test_a_bond_in_doubt_is_single_beside_a_full_atom() -> None:
    isobutene = seen(["C"] * 4, {(0, 1): DOUBLE, (1, 2): SINGLE, (1, 3): SINGLE})
    isobutene.edges[0, DOUBLE] = 0.99
    isobutene.edges[1, [SINGLE, DOUBLE]] = 0.4, 0.6
    assert inchi_of(isobutene) == inchi_of_smiles("CC(C)=C")
    allene = seen(["C"] * 3, {(0, 1): DOUBLE, (1, 2): SINGLE}, [(0, 0), (20, 0), (40, 1)])
    allene.edges[0, DOUBLE] = 0.99
    allene.edges[1, [SINGLE, DOUBLE]] = 0.4, 0.6
    assert inchi_of(allene) == inchi_of_smiles("C=C=C")


def test_two_bonds_in_doubt_beside_each_other_are_no_row() -> None:
    graph = seen(["C"] * 5, {(one, one + 1): SINGLE for one in range(4)})
    graph.edges[1:3, [SINGLE, DOUBLE]] = 0.78, 0.2
    assert inchi_of(graph) == inchi_of_smiles("CCCCC")


def test_a_lone_bond_in_doubt_is_what_it_more_likely_is() -> None:
    chain = {(one, one + 1): SINGLE for one in range(5)}
    graph = seen(["C"] * 6, chain)
    graph.edges[2, [SINGLE, DOUBLE]] = 0.8, 0.19
    assert inchi_of(graph) == inchi_of_smiles("CCCCCC")
    amide = seen(["C", "C", "N", "C", "O"], {(0, 1): SINGLE, (1, 2): SINGLE, (2, 3): SINGLE, (3, 4): DOUBLE})
    amide.edges[2, [SINGLE, DOUBLE]], amide.edges[3, DOUBLE] = (0.78, 0.2), 0.99
    assert inchi_of(amide) == inchi_of_smiles("CCNC=O")


def test_what_nobody_draws_with_hydrogen_has_a_charge_instead() -> None:
    three = {(0, 1): SINGLE, (0, 2): SINGLE, (0, 3): SINGLE}
    graph = seen(["S", "C", "C", "C"], three, STAR[:4])
    graph.charges[0] = 0.5, 0.25, 0.0
    assert inchi_of(graph) == inchi_of_smiles("C[S+](C)C")


def test_a_group_has_a_single_bond_and_no_charge() -> None:
    graph = seen(["C", "CC"], {(0, 1): DOUBLE})
    graph.edges[0, SINGLE] = 0.01
    graph.charges[1, CHARGES.index(1)] = 0.95
    assert inchi_of(graph) == inchi_of_smiles("CCC")


def test_the_probability_is_that_of_every_piece() -> None:
    (one,) = assemble(seen(["C", "O"], {(0, 1): SINGLE}, hydrogens=[0, 1]))
    assert one.text == one.drawn_as == "CO"
    # Both nodes, their kinds and charges, the edge, and the hydrogen of one.
    assert one.log_probability == pytest.approx(8 * math.log(SURE))


def test_where_a_hydrogen_is_missing_the_stroke_to_a_methyl_may_be_lost() -> None:
    bonds = {(0, 1): SINGLE, (1, 2): SINGLE, (1, 3): DOUBLE}
    names = ["C", "C", "O", "N"]
    assert [one.text for one in assemble(seen(names, bonds, hydrogens=[0, 0, 1, 1]))] == ["CC(=N)O"]
    first, second, *_ = assemble(seen(names, bonds, hydrogens=[0, 0, 0, 1]))
    assert first == ("COC(C)=N", pytest.approx(17 * math.log(SURE) + math.log(MAX_LOST)), "CC(=N)O")
    assert second.text == second.drawn_as == "CC(=N)O"
    assert second.log_probability == pytest.approx(16 * math.log(SURE) + math.log(UNWRITTEN))
    whole = seen(names, bonds, hydrogens=[0, 0, 0, 1])._replace(gap_fraction=np.array(0.02))
    assert assemble(whole)[0].text == "CC(=N)O"  # a drawing without gaps rather leaves a hydrogen out
    both = assemble(seen(names, bonds, hydrogens=[0, 0, 0, 0]))[0]
    assert inchi_of_smiles(both.text) == inchi_of_smiles("COC(C)=NC")


def test_a_lost_end_leaves_a_centre_its_hand() -> None:
    inchi = inchi_of_smiles("CC[C@H](N)C(F)(F)F")
    layout = lay_out_with_rdkit(inchi)
    graph = seen_as_laid_out(inchi, layout)
    numbers = [0] * len(graph.kinds)
    numbers[int(graph.kinds[:, WRITTEN_KINDS.index("N")].argmax())] = 1  # of two
    found = assemble(graph._replace(hydrogens=written(numbers)))
    assert inchi_of_smiles(found[0].text) == inchi_of_smiles("CC[C@H](NC)C(F)(F)F")
    assert inchi_of_smiles(found[0].drawn_as) == inchi


def test_hydrogens_tell_charges_and_which_nitrogen_of_a_ring_has_one() -> None:
    three = {(0, 1): SINGLE, (0, 2): SINGLE, (0, 3): SINGLE}
    for hydrogens, smiles in ((1, "C[NH+](C)C"), (0, "CN(C)C")):
        graph = seen(["N", "C", "C", "C"], three, STAR[:4], [hydrogens, 0, 0, 0])
        graph.charges[0] = 0.5, 0.3, 0.0
        assert inchi_of(graph) == inchi_of_smiles(smiles)
    ring = {(0, 1): SINGLE, (1, 2): SINGLE, (2, 3): SINGLE, (3, 4): SINGLE, (4, 0): SINGLE, (1, 5): SINGLE}
    places = [(20 * math.cos(2 * math.pi * index / 5), 20 * math.sin(2 * math.pi * index / 5)) for index in range(5)]
    for with_hydrogen, smiles in ((0, "Cc1c[n]c[nH]1"), (3, "Cc1c[nH]c[n]1")):
        hydrogens = [int(index == with_hydrogen) for index in range(6)]
        graph = seen(["N", "C", "C", "N", "C", "C"], ring, [*places, (26, 36)], hydrogens)
        graph.edges[:5, [SINGLE, DOUBLE]] = 0.45
        text = assemble(graph)[0].text
        assert Chem.CanonSmiles(text) == Chem.CanonSmiles(smiles)


def test_what_cannot_be_mended_is_nothing() -> None:
    graph = seen(["F", "C", "C"], {(0, 1): SINGLE, (0, 2): SINGLE})
    assert inchi_of(graph) is not None  # something else that is no halogen
    sure = DrawnGraph(*(np.where(part == 1e-3, 0, part) for part in graph))
    assert assemble(sure) == []


def test_another_process_puts_the_same_together() -> None:
    graph = seen(["C", "C", "N", "O-"], {(0, 1): SINGLE, (1, 2): TRIPLE, (2, 3): SINGLE})
    asked = SafeNotation(NOTATIONS["smiles_drawn_kekule"])
    try:
        assert asked.assemble(graph) == assemble(graph)
    finally:
        asked.close()


@pytest.mark.parametrize(("last", "ring"), [("N", "C1CCNNC1"), ("C", "C1CCNCC1")])
def test_a_stroke_that_closed_a_ring_is_lost_rather_than_ends(last: str, ring: str) -> None:
    chain: dict[tuple[int, int], int] = {(index, index + 1): SINGLE for index in range(5)}
    names, hydrogens = ["N", "C", "C", "C", "C", last], [1, 0, 0, 0, 0, int(last == "N")]
    closed = assemble(seen(names, chain, [*AROUND[1:], AROUND[0]], hydrogens))[0]
    assert inchi_of_smiles(closed.text) == inchi_of_smiles(ring)
    assert inchi_of_smiles(closed.drawn_as) == inchi_of_smiles(f"NCCCC{last}")
    open_chain = assemble(seen(names, chain, hydrogens=hydrogens))[0]
    assert inchi_of_smiles(open_chain.text) == inchi_of_smiles(f"CNCCCC{'NC' if last == 'N' else 'C'}")
