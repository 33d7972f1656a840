"""Restores strokes that a drawing has lost, as the hydrogens say that are not written.

A nodes, E edges.
"""

import networkx
import numpy as np

from lib.molecules.graph_pieces import ASIDE_PX, HAS_HYDROGENS, Pieces, has_room_for_another
from model.graph_kinds import CHARGES, MAX_HYDROGENS, SINGLE, WRITTEN_KINDS

LOST_PER_GAP = 0.1  # probability that a stroke is lost where all have gaps, in proportion where fewer have,
MAX_LOST = 0.03  # and no more than this
CLOSING_LENGTH = 0.2  # part of the length of bonds by which that of a lost one may differ that closes a ring
SMALLEST_RING = 5  # that a lost stroke may have closed: atoms of smaller ones lie that near anyway


def with_lost_strokes(pieces: Pieces, hydrogens: np.ndarray, gap_fraction: float) -> Pieces | None:
    """The pieces with a bond more at each node that has one of the hydrogens (A,) too many; None if there is none.

    The bond closes a ring where another node that may have one lies at a bond's length. Else it goes to a carbon: the
    image does not show what the lost end was, and most are methyl.
    """
    rows = np.arange(len(hydrogens))
    at = np.flatnonzero((hydrogens > 0) & (pieces.hydrogens[rows, np.maximum(hydrogens - 1, 0)] > 0.5)).tolist()
    if not at:
        return None
    pairs: list[tuple[int, int]] = []
    ends: list[np.ndarray] = []
    while at:
        node = at.pop(0)
        partner = _at_bond_length(pieces, node, at)
        if partner is None:
            partner = len(rows) + len(ends)
            ends.append(_opposite(pieces, node))
        elif partner in at:
            at.remove(partner)
        pairs.append((node, partner))
    carbon, uncharged, single = WRITTEN_KINDS.index("C"), CHARGES.index(0), SINGLE
    are_lost = min(MAX_LOST, LOST_PER_GAP * gap_fraction) * _surely(single, pieces.edges.shape[1], len(pairs))
    return Pieces(
        np.concatenate((pieces.positions_xy, np.array(ends).reshape(-1, 2))),
        np.concatenate((pieces.kinds, _surely(carbon, pieces.kinds.shape[1], len(ends)))),
        np.concatenate((pieces.charges, _surely(uncharged, len(CHARGES), len(ends)))),
        np.concatenate((pieces.hydrogens, np.ones((len(ends), 1 + MAX_HYDROGENS)))),
        np.concatenate((pieces.pairs, pairs)),
        np.concatenate((pieces.edges, are_lost)),
        np.concatenate((pieces.chosen_kinds, np.full(len(ends), carbon))),
        np.concatenate((pieces.chosen_charges, np.full(len(ends), uncharged))),
        np.concatenate((pieces.chosen_edges, np.full(len(pairs), single))),
    )


def _surely(index: int, number: int, count: int) -> np.ndarray:
    """Probabilities (count, number) that are 1 at the index."""
    probabilities: np.ndarray = np.tile(np.eye(number)[index], (count, 1))
    return probabilities


def _at_bond_length(pieces: Pieces, node: int, lacking: list[int]) -> int | None:
    """The node that may be joined to this one: about as far as a bond is long, and lacking a bond too or with room."""
    lengths = np.linalg.norm(np.diff(pieces.positions_xy[pieces.pairs], axis=1)[:, 0], axis=1)
    distances = np.linalg.norm(pieces.positions_xy - pieces.positions_xy[node], axis=1) / np.median(lengths)
    few_bonds_away = networkx.ego_graph(networkx.Graph(pieces.pairs.tolist()), node, SMALLEST_RING - 2)
    near = np.setdiff1d(np.flatnonzero(np.abs(distances - 1) < CLOSING_LENGTH), list(few_bonds_away))
    fitting = [
        other
        for other in near[np.abs(distances[near] - 1).argsort()].tolist()
        if other in lacking or (not HAS_HYDROGENS[pieces.chosen_kinds[other]] and has_room_for_another(pieces, other))
    ]
    return fitting[0] if fitting else None


def _opposite(pieces: Pieces, node: int) -> np.ndarray:
    """The place (2,) of an end on the other side of a node than all that it is joined to."""
    others = pieces.pairs[pieces.bonds_of(node)].sum(axis=1) - node
    ways = pieces.positions_xy[others] - pieces.positions_xy[node]
    place: np.ndarray = pieces.positions_xy[node] - ways.mean(axis=0) + ASIDE_PX
    return place
