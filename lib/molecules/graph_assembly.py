"""Puts a molecule together of what is seen in its drawing, piece by piece.

Every piece is what it most likely is, but single and double bonds that are in doubt alternate. Where an atom would have
a valence that it cannot have, the change that costs least probability is made. Where an atom would have more hydrogens
than are written, the stroke to an end may be lost.

A nodes, E edges, N kinds of nodes, K kinds of edges.
"""

import math
from collections.abc import Iterator
from functools import cache
from itertools import chain, combinations
from typing import Any, NamedTuple

import networkx
import numpy as np
from rdkit import Chem, RDLogger

from lib.captions.notations import AssembledText, DrawnGraph
from lib.molecules.drawing_marks import ELEMENTS
from lib.molecules.graph_pieces import (
    ASIDE_PX,
    HAS_HYDROGENS,
    LEAST,
    MAX_BONDS,
    ORDER_OF,
    Pieces,
    has_room_for_another,
    holds,
    log_of,
)
from lib.molecules.lost_strokes import with_lost_strokes
from lib.molecules.smiles import ORDERS, flat_conformer
from model.graph_kinds import (
    CHARGES,
    DOUBLE,
    HASH,
    MAX_HYDROGENS,
    NOTHING,
    SINGLE,
    TRIPLE,
    TURNED_HASH,
    TURNED_WEDGE,
    WEDGE,
    WRITTEN_KINDS,
)

DIRECTION_OF = {
    WEDGE: Chem.BondDir.BEGINWEDGE,
    HASH: Chem.BondDir.BEGINDASH,
    TURNED_WEDGE: Chem.BondDir.BEGINWEDGE,
    TURNED_HASH: Chem.BondDir.BEGINDASH,
}
TURNED = (TURNED_WEDGE, TURNED_HASH)  # begin where the pair ends
MAX_BONDS_WITH_HYDROGEN = {"S": 1, "Se": 1, "P": 3, "F": 0, "Cl": 0, "Br": 0, "I": 0}
IS_ELEMENT = np.array([name in MAX_BONDS for name in WRITTEN_KINDS])
IS_AN_END = np.array([name not in ELEMENTS for name in WRITTEN_KINDS])  # has one edge: hydrogen, and all groups
LOST_FROM = 0.1  # probability of an edge that joins two parts: strokes may be lost, and a drawing shows one molecule
LARGE_PART = 4  # nodes of a second part from which it is another molecule
EXPLAINED_FROM = 0.4  # fraction of the ink that a molecule must have: letters are taken for strokes where none is
LOST_LENGTH = 0.4  # part of the length of edges by which that of a lost one may differ: ions lie further apart
UNSURE_FROM = 0.1  # probability of a double bond from which a bond may be one, and of what else it may be
ALTERNATING = [WRITTEN_KINDS.index(name) for name in ("C", "N")]  # have one double bond each, as a rule
IN_A_ROW = 3  # bonds in doubt that are joined, as around the oxygen of a ring with a circle; fewer are in doubt alone
ALTERNATES = 1.5  # added to the log-odds of a double bond in such a row: an atom of it more often has one
MAX_CHANGED = 3  # pieces that may be something else
WORTH_CHANGING = 0.02  # probability of the next best over the best, from which a piece may be it
UNWRITTEN = 0.003  # probability that a drawing leaves out hydrogens of an atom, or writes some that it has not
UNNAMED = 0.1  # odds that a caption does not name the configuration of the double bonds that a drawing shows
MAX_REPAIRS = 8
BONDS_OF_CROSSING = 4  # that seem to meet where two bonds cross
STRAIGHT = -0.9  # cosine of the angle at a node between two that it lies between, at most
SAME_WAY = 0.9  # cosine of the angle between two edges of a node from which they may be one that is seen twice
NEAR_END = 0.5  # distance between their ends over their length, at most
BOND_PX = 20.0  # RDKit takes coordinates for angstroms: bonds of about one


class _Molecule(NamedTuple):
    """A molecule that pieces make."""

    molecule: Chem.Mol
    hydrogens: np.ndarray  # (A,) that each node has, or -1 where that is not written


def assemble(graph: DrawnGraph) -> list[AssembledText]:
    """The SMILES that a drawing may show, the likeliest first.

    Beside the likeliest these are what it becomes if one of the least sure pieces is something else, and if ends are
    lost. A drawing shows one molecule: single atoms beside it are left out, and of several molecules nothing is said.
    """
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    largest = _largest_part(_without_doubled_ends(_without_crossings(graph)))
    if largest is None:
        return []
    pieces, beside = largest
    found: dict[str, AssembledText] = {}

    def add(made: _Molecule, pieces: Pieces, seen: Chem.Mol) -> None:
        log_probability = beside + pieces.log_probability() + _of_hydrogens(pieces, made.hydrogens)
        ways_drawn = [smiles for smiles, _ in _written(seen)]
        for number, (smiles, odds) in enumerate(_written(made.molecule)):
            drawn_as = ways_drawn[min(number, len(ways_drawn) - 1)]
            one = AssembledText(smiles, log_probability + math.log(odds), drawn_as)
            if smiles not in found or found[smiles].log_probability < one.log_probability:
                found[smiles] = one

    for one in (pieces.copied(), *_otherwise(pieces)):
        made = _molecule_of(one)
        if made is None:
            continue
        add(made, one, made.molecule)
        restored = with_lost_strokes(one, made.hydrogens, float(graph.gap_fraction))
        if restored is not None and (whole := _molecule_of(restored)) is not None:
            add(whole, restored, made.molecule)
    return sorted(found.values(), key=lambda one: -one.log_probability)


def _of_hydrogens(pieces: Pieces, hydrogens: np.ndarray) -> float:
    """The logarithm of the probability that an image with these hydrogens (A,) shows what is written."""
    nodes = np.flatnonzero(hydrogens >= 0)
    return log_of(np.maximum(pieces.hydrogens[nodes, hydrogens[nodes]], UNWRITTEN))


def _otherwise(pieces: Pieces) -> Iterator[Pieces]:
    """The pieces with one choice changed to the next best, for the few that are least sure."""
    changes = []
    for name, probabilities in (("kinds", pieces.kinds), ("charges", pieces.charges), ("edges", pieces.edges)):
        chosen: np.ndarray = getattr(pieces, f"chosen_{name}")
        rows = np.arange(len(chosen))
        others = probabilities.copy()
        others[rows, chosen] = 0
        seconds = others.argmax(axis=1)
        odds = others[rows, seconds] / np.maximum(probabilities[rows, chosen], LEAST)
        changes += [(float(odds[row]), name, row, int(seconds[row])) for row in rows.tolist()]
    for odds_of_change, name, row, second in sorted(changes, reverse=True)[:MAX_CHANGED]:
        if odds_of_change >= WORTH_CHANGING:
            other = pieces.copied()
            getattr(other, f"chosen_{name}")[row] = second
            yield other


def _molecule_of(pieces: Pieces) -> _Molecule | None:
    """The molecule of the pieces, whose choices are changed where a valence cannot be; None if that does not help."""
    for _ in range(MAX_REPAIRS):
        molecule, nodes = _built(pieces)
        faulty = [atom for problem in Chem.DetectChemistryProblems(molecule) for atom in _atoms_of(problem)]
        faulty = faulty or _with_too_many_bonds(molecule)
        if not faulty:
            break
        if not _repair(pieces, {nodes[atom] for atom in faulty}):
            return None
    else:
        return None
    try:
        Chem.SanitizeMol(molecule)
        Chem.AssignChiralTypesFromBondDirs(molecule)
        for bond in molecule.GetBonds():
            bond.SetBondDir(Chem.BondDir.NONE)  # beside a wedge RDKit finds no configuration of a double bond
        Chem.DetectBondStereochemistry(molecule)
        Chem.AssignStereochemistry(molecule, cleanIt=True, force=True)
        hydrogens = np.full(len(pieces.kinds), -1)
        for atom, node in zip(molecule.GetAtoms(), nodes, strict=True):
            if HAS_HYDROGENS[pieces.chosen_kinds[node]]:
                hydrogens[node] = min(atom.GetTotalNumHs(), MAX_HYDROGENS)
        return _Molecule(Chem.RemoveHs(molecule), hydrogens)
    except (ValueError, RuntimeError):
        return None


def _written(molecule: Chem.Mol) -> Iterator[tuple[str, float]]:
    """A molecule's SMILES, and that without the configuration of double bonds, which a drawing shows of every one."""
    yield Chem.MolToSmiles(molecule), 1.0
    doubles = [bond for bond in molecule.GetBonds() if bond.GetStereo() > Chem.BondStereo.STEREOANY]
    if doubles:
        unnamed = Chem.RWMol(molecule)
        for bond in doubles:
            unnamed.GetBondWithIdx(bond.GetIdx()).SetStereo(Chem.BondStereo.STEREONONE)
        for bond in unnamed.GetBonds():
            bond.SetBondDir(Chem.BondDir.NONE)
        yield Chem.MolToSmiles(unnamed), UNNAMED


def _without_crossings(graph: DrawnGraph) -> DrawnGraph:
    """The graph without the edges of nodes that are only where two bonds cross, which are edges themselves."""
    bonds = networkx.Graph(graph.pairs[graph.edges[:, NOTHING] < 0.5].tolist())
    edges = graph.edges.copy()
    for node, others in bonds.adjacency():
        if len(others) != BONDS_OF_CROSSING:
            continue
        pairs = combinations(others, 2)
        passing = {pair for pair in pairs if bonds.has_edge(*pair) and _is_between(graph.positions_xy, node, *pair)}
        if set(chain.from_iterable(passing)) == set(others):
            edges[(graph.pairs == node).any(axis=1)] = np.arange(edges.shape[1]) == NOTHING
    return graph._replace(edges=edges)


def _without_doubled_ends(graph: DrawnGraph) -> DrawnGraph:
    """The graph without the less likely of two ends beside each other at one node, as of one label seen twice."""
    bonds = networkx.Graph(graph.pairs[graph.edges[:, NOTHING] < 0.5].tolist())
    dropped: set[int] = set()
    for node, others in bonds.adjacency():
        for pair in combinations(others, 2):
            first, second = graph.positions_xy[list(pair)] - graph.positions_xy[node]
            ends = [one for one in pair if set(bonds[one]) <= {node, *pair}]
            lengths = np.linalg.norm((first, second, first - second), axis=1)
            is_same = first @ second > SAME_WAY * lengths[0] * lengths[1] and lengths[2] < NEAR_END * lengths.max()
            if is_same and ends and not dropped & set(pair):
                dropped.add(min(ends, key=lambda one: float(graph.found[one])))
    edges = graph.edges.copy()
    edges[np.isin(graph.pairs, list(dropped)).any(axis=1)] = np.arange(edges.shape[1]) == NOTHING
    return graph._replace(edges=edges)


def _is_between(positions_xy: np.ndarray, node: int, first: int, last: int) -> bool:
    """Whether a node lies on the line between two others, by places (A, 2)."""
    begin, end = positions_xy[[first, last]] - positions_xy[node]
    return float(begin @ end) < STRAIGHT * float(np.linalg.norm(begin) * np.linalg.norm(end))


def _largest_part(graph: DrawnGraph) -> tuple[Pieces, float] | None:
    """The largest connected part, and the logarithm of the probability that its nodes are some and other pairs none.

    None if another part is large too, or if most of the ink is none of this one's.
    """
    is_edge = graph.edges[:, NOTHING] < 0.5
    lengths = np.linalg.norm(np.diff(graph.positions_xy[graph.pairs], axis=1)[:, 0], axis=1)
    typical = float(np.median(lengths[is_edge])) if is_edge.any() else 1.0
    may_be_lost = (graph.edges[:, NOTHING] <= 1 - LOST_FROM) & (np.abs(lengths / typical - 1) < LOST_LENGTH)
    part = np.arange(len(graph.positions_xy))
    for pair in graph.edges[:, NOTHING].argsort().tolist():
        first, second = graph.pairs[pair]
        if is_edge[pair] or (part[first] != part[second] and may_be_lost[pair]):
            is_edge[pair] = True
            part[part == part[second]] = part[first]
    sizes = np.bincount(part)
    if np.sort(sizes)[-2:-1].sum() >= LARGE_PART:
        return None
    inside = np.flatnonzero(part == sizes.argmax())
    if graph.ink[inside].sum() < EXPLAINED_FROM:
        return None
    is_inside = np.isin(graph.pairs, inside).all(axis=1)
    pairs = np.searchsorted(inside, graph.pairs[is_edge & is_inside])
    edges = graph.edges[is_edge & is_inside].copy()
    edges[:, NOTHING] = 0
    kinds = graph.kinds[inside].copy()
    degrees = np.bincount(pairs.ravel(), minlength=len(inside))
    kinds[np.ix_(degrees != 1, IS_AN_END)] = 0
    beside = log_of(graph.found[inside]) + log_of(graph.edges[is_inside & ~is_edge, NOTHING])
    is_end = IS_AN_END[kinds.argmax(axis=1)]
    edges[np.ix_(is_end[pairs].any(axis=1), (DOUBLE, TRIPLE))] = 0
    charges = graph.charges[inside].copy()
    charges[np.ix_(is_end, [CHARGES.index(1), CHARGES.index(-1)])] = 0
    chosen = kinds.argmax(axis=1), charges.argmax(axis=1), edges.argmax(axis=1)
    pieces = Pieces(graph.positions_xy[inside], kinds, charges, graph.hydrogens[inside], pairs, edges, *chosen)
    _alternate(pieces)
    return pieces, beside


def _alternate(pieces: Pieces) -> None:
    """Let single and double bonds alternate where it is not sure which is which, as in rings with a circle.

    A carbon or nitrogen then has one double bond at most, and as many as can be have one; those without room, none.
    """
    doubles, singles = pieces.edges[:, DOUBLE], pieces.edges[:, SINGLE]
    is_unsure = (np.maximum(doubles, singles) == pieces.edges.max(axis=1)) & (np.abs(doubles - 0.5) < 0.5 - UNSURE_FROM)
    nodes = range(len(pieces.kinds))
    bent = [node for node in nodes if _is_bent_cumulene(pieces, node)]
    is_unsure |= (pieces.chosen_edges == DOUBLE) & np.isin(pieces.pairs, bent).any(axis=1)
    is_unsure &= np.isin(pieces.chosen_kinds[pieces.pairs], ALTERNATING).all(axis=1)
    is_more_than_single = np.isin(pieces.chosen_edges, (DOUBLE, TRIPLE))
    saturated = set(pieces.pairs[is_more_than_single & ~is_unsure].ravel().tolist())
    pieces.chosen_edges[is_unsure] = SINGLE
    saturated |= {node for node in nodes if not has_room_for_another(pieces, node)}
    unsure = networkx.Graph()
    for bond in np.flatnonzero(is_unsure).tolist():
        first, second = pieces.pairs[bond].tolist()
        if saturated & {first, second}:
            continue
        odds = np.log(doubles[bond] / max(singles[bond], LEAST))
        unsure.add_edge(first, second, weight=odds, bond=bond)
    for row in networkx.connected_components(unsure):
        bonds = unsure.subgraph(row).edges
        if len(bonds) >= IN_A_ROW:
            for bond in bonds:
                unsure.edges[bond]["weight"] += ALTERNATES
    for first, second in networkx.max_weight_matching(unsure):
        pieces.chosen_edges[unsure.edges[first, second]["bond"]] = DOUBLE
    for *_, bond in unsure.edges(data="bond"):  # what it is in its row is the likelier from here on
        least, most = sorted(pieces.edges[bond, [SINGLE, DOUBLE]])
        pieces.edges[bond, [SINGLE, DOUBLE]] = least
        pieces.edges[bond, pieces.chosen_edges[bond]] = most


def _is_bent_cumulene(pieces: Pieces, node: int) -> bool:
    """Whether two double bonds meet at an angle, which those of an allene do not."""
    doubles = [bond for bond in pieces.bonds_of(node) if pieces.chosen_edges[bond] == DOUBLE]
    if len(doubles) != 2:
        return False
    others = [int(end) for bond in doubles for end in pieces.pairs[bond] if end != node]
    return not _is_between(pieces.positions_xy, node, *others)


def _atoms_of(problem: Any) -> list[int]:
    if problem.GetType() == "KekulizeException":
        return list(problem.GetAtomIndices())
    return [problem.GetAtomIdx()] if hasattr(problem, "GetAtomIdx") else []


def _with_too_many_bonds(molecule: Chem.Mol) -> list[int]:
    """Atoms that RDKit lets have more bonds if they have hydrogen too, such as C[SH](C)C: nobody draws these."""
    molecule.UpdatePropertyCache(strict=False)
    return [
        atom.GetIdx()
        for atom in molecule.GetAtoms()
        if atom.GetTotalNumHs() and atom.GetDegree() > MAX_BONDS_WITH_HYDROGEN.get(atom.GetSymbol(), atom.GetDegree())
    ]


def _repair(pieces: Pieces, nodes: set[int]) -> bool:
    """Make the change at one of these nodes that costs least; whether there is one."""
    changes: list[tuple[float, np.ndarray, int, int]] = []  # cost, choices, index, what it becomes
    for node in nodes:
        bonds = pieces.bonds_of(node)
        num_bonds = sum(ORDER_OF[int(pieces.chosen_edges[bond])] for bond in bonds)
        kind, charge = int(pieces.chosen_kinds[node]), int(pieces.chosen_charges[node])
        of_kinds, of_charges = pieces.kinds[node], pieces.charges[node]
        for other in np.flatnonzero(of_kinds > LEAST).tolist():
            if other != kind and holds(other, CHARGES[charge], num_bonds):
                changes.append((_cost(of_kinds, kind, other), pieces.chosen_kinds, node, other))
        for other in range(len(CHARGES)):
            if other != charge and holds(kind, CHARGES[other], num_bonds):
                changes.append((_cost(of_charges, charge, other), pieces.chosen_charges, node, other))
        for bond in bonds.tolist():
            chosen = int(pieces.chosen_edges[bond])
            for other, order in ORDER_OF.items():
                if order < ORDER_OF[chosen]:
                    changes.append((_cost(pieces.edges[bond], chosen, other), pieces.chosen_edges, bond, other))
    if not changes:
        return False
    _, choices, index, other = min(changes, key=lambda change: change[0])
    choices[index] = other
    return True


def _cost(probabilities: np.ndarray, chosen: int, other: int) -> float:
    return log_of(probabilities[[chosen]]) - log_of(probabilities[[other]])


def _built(pieces: Pieces) -> tuple[Chem.RWMol, list[int]]:
    """The molecule, laid out and with its wedges, and the node of each of its atoms."""
    molecule, nodes, anchors = Chem.RWMol(), [], []
    for node, (kind, charge) in enumerate(zip(pieces.chosen_kinds, pieces.chosen_charges, strict=True)):
        first = molecule.GetNumAtoms()
        if IS_ELEMENT[kind]:
            atom = Chem.Atom(WRITTEN_KINDS[kind])
            atom.SetFormalCharge(CHARGES[charge])
            molecule.AddAtom(atom)
            anchors.append(first)
        else:
            group, anchor = _group(WRITTEN_KINDS[kind])
            molecule.InsertMol(group)
            anchors.append(first + anchor)
        nodes += [node] * (molecule.GetNumAtoms() - first)
    for (begin, end), kind in zip(pieces.pairs.tolist(), pieces.chosen_edges.tolist(), strict=True):
        ends = (anchors[end], anchors[begin]) if kind in TURNED else (anchors[begin], anchors[end])
        molecule.AddBond(*ends, ORDERS[ORDER_OF[kind]])
        if kind in DIRECTION_OF:
            molecule.GetBondBetweenAtoms(*ends).SetBondDir(DIRECTION_OF[kind])
    aside = ASIDE_PX * (np.arange(len(nodes)) - np.array(anchors)[nodes])
    positions_xy = pieces.positions_xy[nodes] + np.stack((aside, np.zeros_like(aside)), axis=1)
    molecule.AddConformer(flat_conformer(positions_xy / BOND_PX))
    return molecule, nodes


@cache
def _group(smiles: str) -> tuple[Chem.Mol, int]:
    """A group as a molecule with an open end, in Kekule form, and the index of the atom that the bond goes to."""
    joined = Chem.MolFromSmiles(f"*{smiles}")
    Chem.Kekulize(joined, clearAromaticFlags=True)
    joined = Chem.RWMol(joined)
    anchor = joined.GetAtomWithIdx(0).GetNeighbors()[0].GetIdx() - 1
    joined.RemoveAtom(0)
    for atom in joined.GetAtoms():
        atom.SetNoImplicit(False)
        atom.SetNumExplicitHs(0)
        atom.SetNumRadicalElectrons(0)
    return joined.GetMol(), anchor
