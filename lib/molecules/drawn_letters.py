"""Atoms that take each other's place in a caption by what is written at them: O and S; halogens, CF3 and methyl.

A atoms, N kinds of nodes.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from rdkit import Chem

from model.trace_kinds import NODE_KINDS

T = TypeVar("T")

MOST_CAPTIONS = 8  # the likeliest
WORTH_NAMING = 0.02  # probability of a caption over that of the likeliest, from which it is one of them
ENDS = ("C", "F", "Cl", "Br", "I", "CF3")  # at the end of a single bond one may be another, but none a methyl, C:
# where tracing has missed a label there is nothing, as at a methyl
CHALCOGENS = ("O", "S", "Se")  # take each other's place where they have two bonds
OBJECTS_BELOW = 0.05  # probability of an atom's own symbol in its family, from which it stays as it is;
METHYL_OBJECTS_BELOW = 0.01  # the same of a methyl, as most ends are
SURE_OF_FAMILY = 0.5  # probability that a node is one of its family, below which it stays as it is


def likeliest_symbols(molecule: Chem.Mol, node_kinds: np.ndarray) -> list[tuple[dict[int, str], float]]:
    """What atoms may be instead of what they are, by index, with its probability, the likeliest first."""
    changeable, options = [], []
    for atom in molecule.GetAtoms():
        family = _family(atom)
        if not family:
            continue
        possible = [name for name in family if name != "C" or atom.GetSymbol() == "C"]
        seen = {name: float(node_kinds[atom.GetIdx(), NODE_KINDS.index(name)]) for name in possible}
        for other in atom.GetNeighbors() if family is ENDS else ():
            if other.GetAtomicNum() == 8:  # on which a label OCF3 stands
                is_group = float(node_kinds[other.GetIdx(), NODE_KINDS.index("OCF3")])
                seen = {name: (1 - is_group) * one + is_group * (name == "CF3") for name, one in seen.items()}
        if family is CHALCOGENS:
            seen["O"] += float(node_kinds[atom.GetIdx(), NODE_KINDS.index("OCF3")])
        total = sum(seen.values())
        below = METHYL_OBJECTS_BELOW if atom.GetSymbol() == "C" else OBJECTS_BELOW
        if total >= SURE_OF_FAMILY and seen[atom.GetSymbol()] < below * total:
            changeable.append(atom)
            options.append([(name, one / total) for name, one in seen.items() if one / total >= WORTH_NAMING])
    return [
        ({atom.GetIdx(): name for atom, name in zip(changeable, names, strict=True) if name != atom.GetSymbol()}, one)
        for names, one in likeliest_choices(options)
    ]


def _family(atom: Chem.Atom) -> tuple[str, ...]:
    """The symbols that may stand in an atom's place; none if it is sure to be what it is."""
    if atom.GetFormalCharge() or atom.GetIsotope() or atom.GetNumRadicalElectrons():
        return ()
    if atom.GetSymbol() in CHALCOGENS and atom.GetTotalValence() == 2:
        return CHALCOGENS
    is_end = atom.GetDegree() == 1 and atom.GetBonds()[0].GetBondType() == Chem.BondType.SINGLE
    if not (is_end and atom.GetSymbol() in ENDS and atom.GetTotalValence() in (1, 4)):
        return ()
    return () if _fluorines(atom.GetNeighbors()[0]) == 3 else ENDS  # of a CF3 that is drawn out


def _fluorines(atom: Chem.Atom) -> int:
    """The number of fluorine atoms at a carbon."""
    return sum(other.GetAtomicNum() == 9 for other in atom.GetNeighbors()) if atom.GetAtomicNum() == 6 else 0


def with_symbols(
    molecule: Chem.Mol, symbols: dict[int, str], positions_xy: np.ndarray
) -> tuple[Chem.Mol | None, np.ndarray]:
    """The molecule with other symbols at some atoms, and positions (A, 2) of all; None if it cannot be."""
    if not symbols:
        return Chem.Mol(molecule), positions_xy
    changed, places = Chem.RWMol(molecule), positions_xy
    for index, name in symbols.items():
        atom = changed.GetAtomWithIdx(index)
        if name == "CF3":
            atom.SetAtomicNum(6)
            for _ in range(3):
                changed.AddBond(index, changed.AddAtom(Chem.Atom(9)), Chem.BondType.SINGLE)
                places = np.concatenate((places, places[index : index + 1]))
        else:
            atom.SetAtomicNum(Chem.GetPeriodicTable().GetAtomicNumber(name))
        atom.SetNoImplicit(False)
        atom.SetNumExplicitHs(0)
    try:
        Chem.SanitizeMol(changed)
    except ValueError:
        return None, places
    return changed.GetMol(), places


def likeliest_choices(choices: Sequence[list[tuple[T, float]]]) -> list[tuple[list[T], float]]:
    """The likeliest ways to choose one of each, best first, with the products of their probabilities."""
    found: list[tuple[list[T], float]] = [([], 1.0)]
    for options in choices:
        longer = [([*chosen, this], product * one) for chosen, product in found for this, one in options]
        found = sorted(longer, key=lambda one: -one[1])[:MOST_CAPTIONS]
    return found
