"""The pieces of one molecule that are seen in its drawing, and what each is taken for.

A nodes, E edges, N kinds of nodes, K kinds of edges.
"""

from typing import NamedTuple

import numpy as np

from model.graph_kinds import (
    CHARGES,
    DOUBLE,
    HASH,
    SINGLE,
    TRIPLE,
    TURNED_HASH,
    TURNED_WEDGE,
    WEDGE,
    WITH_HYDROGENS,
    WRITTEN_KINDS,
)

ORDER_OF = {SINGLE: 1, DOUBLE: 2, TRIPLE: 3, WEDGE: 1, HASH: 1, TURNED_WEDGE: 1, TURNED_HASH: 1}
# The most bonds of an atom without charge; each charge adds or takes one as MORE_BY_CHARGE says.
MAX_BONDS = {"C": 4, "N": 3, "O": 2, "S": 6, "F": 1, "Cl": 1, "Br": 1, "I": 1, "P": 5, "B": 3, "Si": 4, "Se": 6, "H": 1}
MORE_BY_CHARGE = {"N": 1, "O": 1, "S": 1, "Se": 1, "B": -1, "P": -1}  # per positive charge
UNCHARGED = {"F", "Cl", "Br", "I", "H"}
HAS_HYDROGENS = np.array([name in WITH_HYDROGENS for name in WRITTEN_KINDS])
LEAST = 1e-9  # probability of what cannot be
ASIDE_PX = 0.02  # between two atoms at one node: RDKit takes atoms of one place for a fault


class Pieces(NamedTuple):
    """The pieces of one molecule, and what each is taken for; the arrays of choices change."""

    positions_xy: np.ndarray  # (A, 2)
    kinds: np.ndarray  # (A, N) probabilities
    charges: np.ndarray  # (A, 3)
    hydrogens: np.ndarray  # (A, 4)
    pairs: np.ndarray  # (E, 2)
    edges: np.ndarray  # (E, K)
    chosen_kinds: np.ndarray  # (A,)
    chosen_charges: np.ndarray  # (A,)
    chosen_edges: np.ndarray  # (E,)

    def bonds_of(self, node: int) -> np.ndarray:
        """Indices of the edges of a node."""
        return np.flatnonzero((self.pairs == node).any(axis=1))

    def copied(self) -> "Pieces":
        """The same, with choices of their own."""
        return self._replace(
            chosen_kinds=self.chosen_kinds.copy(),
            chosen_charges=self.chosen_charges.copy(),
            chosen_edges=self.chosen_edges.copy(),
        )

    def log_probability(self) -> float:
        """The logarithm of the probability of all choices."""
        rows = np.arange(len(self.kinds))
        at_nodes = self.kinds[rows, self.chosen_kinds] * self.charges[rows, self.chosen_charges]
        return log_of(at_nodes) + log_of(self.edges[np.arange(len(self.edges)), self.chosen_edges])


def has_room_for_another(pieces: Pieces, node: int) -> bool:
    """Whether a node may have one bond more than it has."""
    kind = int(pieces.chosen_kinds[node])
    num_bonds = sum(ORDER_OF[int(pieces.chosen_edges[bond])] for bond in pieces.bonds_of(node))
    num_hydrogens = int(pieces.hydrogens[node].argmax()) if HAS_HYDROGENS[kind] else 0
    return holds(kind, CHARGES[int(pieces.chosen_charges[node])], num_bonds + num_hydrogens + 1)


def holds(kind: int, charge: int, num_bonds: int) -> bool:
    """Whether what is written at a node may have so many bonds."""
    name = WRITTEN_KINDS[kind]
    if name not in MAX_BONDS:
        return num_bonds == 1 and charge == 0
    if name in UNCHARGED and charge:
        return False
    return num_bonds <= MAX_BONDS[name] + charge * MORE_BY_CHARGE.get(name, 0) - abs(charge) * (name in ("C", "Si"))


def log_of(probabilities: np.ndarray) -> float:
    """The logarithm of the probability that all is so."""
    return float(np.log(np.maximum(probabilities, LEAST)).sum())
