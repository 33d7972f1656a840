"""What is written at atoms: elements with their hydrogens and charges, CH3, and abbreviations of whole groups."""

import re
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdAbbreviations

# Name as written when the bond comes from the left, SMILES from the atom at the bond on, and name when it comes from
# the right.
GROUPS = (
    ("OMe", "OC", "MeO"),
    ("OEt", "OCC", "EtO"),
    ("NO2", "[N+](=O)[O-]", "O2N"),
    ("CF3", "C(F)(F)F", "F3C"),
    ("OCF3", "OC(F)(F)F", "F3CO"),
    ("CO2H", "C(=O)[OH]", "HO2C"),
    ("COOH", "C(=O)[OH]", "HOOC"),
    ("CO2Me", "C(=O)OC", "MeO2C"),
    ("CO2Et", "C(=O)OCC", "EtO2C"),
    ("CN", "C#N", "NC"),
    ("CHO", "[CH]=O", "OHC"),
    ("Ph", "c1ccccc1", "Ph"),
    ("Boc", "C(=O)OC(C)(C)C", "Boc"),
    ("OAc", "OC(C)=O", "AcO"),
    ("Ac", "C(C)=O", "Ac"),
    ("Bn", "Cc1ccccc1", "Bn"),
    ("OBn", "OCc1ccccc1", "BnO"),
    ("OPh", "Oc1ccccc1", "PhO"),
    ("tBu", "C(C)(C)C", "tBu"),
    ("t-Bu", "C(C)(C)C", "t-Bu"),
    ("iPr", "C(C)C", "iPr"),
    ("Et", "CC", "Et"),
    ("Me", "C", "Me"),
    ("SMe", "SC", "MeS"),
    ("NMe2", "N(C)C", "Me2N"),
    ("NHMe", "[NH]C", "MeHN"),
    ("SO2Me", "S(C)(=O)=O", "MeO2S"),
    ("SO2NH2", "S(=O)(=O)[NH2]", "H2NO2S"),
    ("Ts", "S(=O)(=O)c1ccc(C)cc1", "Ts"),
    ("TfO", "OS(=O)(=O)C(F)(F)F", "TfO"),
    ("TMS", "[Si](C)(C)C", "TMS"),
    ("N3", "N=[N+]=[N-]", "N3"),
    ("CONH2", "C(=O)[NH2]", "H2NOC"),
)
MOST_ABBREVIATED = 0.6  # fraction of a molecule's atoms
_PART = re.compile(r"[A-Z][a-z]?|\d+|[a-z]-?|.")
_ELEMENT = re.compile(r"[A-Z][a-z]?")


class Run(NamedTuple):
    """Letters of one size and height."""

    text: str
    level: int  # 0 on the line, 1 above it (charges, isotopes), -1 below it (counts)


class Label(NamedTuple):
    """What is written at an atom."""

    runs: tuple[Run, ...]
    anchor: int  # index of the run that stands on the atom
    stacked: tuple[Run, ...] = ()  # hydrogens above or below the anchor
    is_above: bool = False


class Group(NamedTuple):
    """Atoms that are written as one label at the first of them."""

    atoms: tuple[int, ...]
    right: str
    left: str


@cache
def _definitions() -> Any:
    lines = "\n".join(f"{right} {smiles} {right} {left}" for right, smiles, left in GROUPS)
    return rdAbbreviations.ParseAbbreviations(lines)


def groups_of(molecule: Chem.Mol) -> list[Group]:
    """Groups of a molecule that have an abbreviation, none sharing an atom with another."""
    labelled = rdAbbreviations.LabelMolAbbreviations(molecule, _definitions(), MOST_ABBREVIATED)
    left = {right: left for right, _, left in GROUPS}
    groups = []
    for group in Chem.GetMolSubstanceGroups(labelled):
        right = group.GetProp("LABEL")
        groups.append(Group(tuple(group.GetAtoms()), right, left[right]))  # the atom that the bond goes to comes first
    return groups


def group_label(group: Group, side: str) -> Label:
    """The label of a group whose bond comes from the other side: 'right' or 'left'."""
    text = group.left if side == "left" else group.right
    runs = tuple(Run(part, -1 if part.isdecimal() else 0) for part in _PART.findall(text))
    elements = [index for index, run in enumerate(runs) if _ELEMENT.fullmatch(run.text)]
    return Label(runs, elements[-1] if side == "left" else elements[0])


def atom_label(symbol: str, num_hydrogens: int, charge: int, isotope: int, side: str) -> Label:
    """The label of an atom with its hydrogens on one side of it: right, left, above or below."""
    mass = (Run(str(isotope), 1),) if isotope else ()
    charged = (Run({1: "+", -1: "-"}.get(charge, f"{abs(charge)}{'+' if charge > 0 else '-'}"), 1),) if charge else ()
    hydrogens: tuple[Run, ...] = ()
    if num_hydrogens:
        hydrogens = (Run("H", 0), Run(str(num_hydrogens), -1)) if num_hydrogens > 1 else (Run("H", 0),)
    element = (*mass, Run(symbol, 0))
    if side == "left":
        return Label((*hydrogens, *element, *charged), len(hydrogens) + len(mass))
    if side == "right" or not hydrogens:
        return Label((*element, *hydrogens, *charged), len(mass))
    return Label((*element, *charged), len(mass), hydrogens, side == "above")


def free_side(directions: np.ndarray, can_stack: bool) -> str:
    """Where there is room beside an atom whose bonds go in these directions (N, 2), y counted downwards."""
    if not len(directions):
        return "right"
    x, y = directions[:, 0], directions[:, 1]
    if x.max() < 0.3:
        return "right"
    if x.min() > -0.3:
        return "left"
    if can_stack and y.min() > -0.3:
        return "above"
    if can_stack and y.max() < 0.3:
        return "below"
    return "right" if x.sum() <= 0 else "left"
