"""What is written at atoms: elements with their hydrogens and charges, CH3, and abbreviations of whole groups."""

import re
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdAbbreviations

# SMILES of a group from the atom at the bond on, and its spellings: as written when the bond comes from the left, and
# when it comes from the right.
GROUPS: dict[str, tuple[tuple[str, str], ...]] = {
    "C": (("Me", "Me"), ("CH3", "H3C")),
    "CC": (("Et", "Et"), ("C2H5", "C2H5"), ("CH2CH3", "H3CH2C")),
    "CCC": (("Pr", "Pr"), ("n-Pr", "n-Pr")),
    "CCCC": (("Bu", "Bu"), ("n-Bu", "n-Bu"), ("nBu", "nBu")),
    "C(C)C": (("iPr", "iPr"), ("i-Pr", "i-Pr"), ("CH(CH3)2", "(H3C)2HC")),
    "CC(C)C": (("iBu", "iBu"), ("i-Bu", "i-Bu")),
    "C(C)(C)C": (("tBu", "tBu"), ("t-Bu", "t-Bu"), ("C(CH3)3", "(H3C)3C")),
    "c1ccccc1": (("Ph", "Ph"), ("C6H5", "C6H5")),
    "Cc1ccccc1": (("Bn", "Bn"), ("CH2Ph", "PhH2C")),
    "C(F)(F)F": (("CF3", "F3C"),),
    "C(Cl)(Cl)Cl": (("CCl3", "Cl3C"),),
    "C(F)F": (("CHF2", "F2HC"),),
    "C#N": (("CN", "NC"),),
    "[CH]=O": (("CHO", "OHC"),),
    "C[OH]": (("CH2OH", "HOH2C"),),
    "C[NH2]": (("CH2NH2", "H2NH2C"),),
    "C(C)=O": (("Ac", "Ac"), ("COMe", "MeOC"), ("COCH3", "H3COC")),
    "C(=O)[OH]": (("CO2H", "HO2C"), ("CO2H", "HO2C"), ("COOH", "HOOC")),
    "C(=O)OC": (("CO2Me", "MeO2C"), ("COOMe", "MeOOC"), ("CO2CH3", "H3CO2C"), ("COOCH3", "H3COOC")),
    "C(=O)OCC": (
        ("CO2Et", "EtO2C"),
        ("COOEt", "EtOOC"),
        ("CO2C2H5", "C2H5O2C"),
        ("COOC2H5", "C2H5OOC"),
        ("CO2CH2CH3", "H3CH2CO2C"),
    ),
    "C(=O)OC(C)(C)C": (("Boc", "Boc"), ("CO2tBu", "tBuO2C"), ("CO2-t-Bu", "t-BuO2C")),
    "C(=O)OCc1ccccc1": (("Cbz", "Cbz"), ("CO2Bn", "BnO2C")),
    "C(=O)c1ccccc1": (("Bz", "Bz"), ("COPh", "PhOC")),
    "C(=O)[NH2]": (("CONH2", "H2NOC"),),
    "C(=O)[NH]C": (("CONHMe", "MeHNOC"),),
    "OC": (("OMe", "MeO"), ("OMe", "MeO"), ("OCH3", "H3CO")),
    "OCC": (("OEt", "EtO"), ("OC2H5", "C2H5O"), ("OCH2CH3", "H3CH2CO")),
    "OC(F)(F)F": (("OCF3", "F3CO"),),
    "OC(C)=O": (("OAc", "AcO"), ("OCOCH3", "H3COCO")),
    "OCc1ccccc1": (("OBn", "BnO"), ("OCH2Ph", "PhH2CO")),
    "Oc1ccccc1": (("OPh", "PhO"),),
    "OS(=O)(=O)C(F)(F)F": (("OTf", "TfO"), ("OSO2CF3", "F3CO2SO")),
    "O[Si](C)(C)C(C)(C)C": (("OTBS", "TBSO"),),
    "[N+](=O)[O-]": (("NO2", "O2N"),),
    "[NH]C": (("NHMe", "MeHN"), ("NHCH3", "H3CHN")),
    "N(C)C": (("NMe2", "Me2N"), ("N(CH3)2", "(H3C)2N")),
    "N(CC)CC": (("NEt2", "Et2N"), ("N(C2H5)2", "(C2H5)2N")),
    "[NH]C(C)=O": (("NHAc", "AcHN"), ("NHCOCH3", "H3COCHN")),
    "[NH]c1ccccc1": (("NHPh", "PhHN"),),
    "[NH]C(=O)OC(C)(C)C": (("NHBoc", "BocHN"),),
    "N=[N+]=[N-]": (("N3", "N3"),),
    "SC": (("SMe", "MeS"), ("SCH3", "H3CS")),
    "S(C)(=O)=O": (("SO2Me", "MeO2S"), ("SO2CH3", "H3CO2S")),
    "S(=O)(=O)[NH2]": (("SO2NH2", "H2NO2S"),),
    "S(=O)(=O)[OH]": (("SO3H", "HO3S"),),
    "S(=O)(=O)c1ccc(C)cc1": (("Ts", "Ts"),),
    "S(=O)(=O)c1ccccc1": (("SO2Ph", "PhO2S"),),
    "[Si](C)(C)C": (("TMS", "TMS"), ("SiMe3", "Me3Si"), ("Si(CH3)3", "(H3C)3Si")),
    "[Si](C)(C)C(C)(C)C": (("TBS", "TBS"),),
}
MAX_ABBREVIATED = 0.6  # fraction of a molecule's atoms
_PART = re.compile(r"[A-Z][a-z]?|\d+|[a-z]-?|.")
_ELEMENT = re.compile(r"(?!H$)[A-Z][a-z]?")  # other than hydrogen


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
def _definitions() -> list[Any]:
    """The groups, the largest first: the one that is found first takes its atoms."""
    largest_first = sorted(GROUPS, key=lambda smiles: -Chem.MolFromSmiles(smiles).GetNumAtoms())
    return list(rdAbbreviations.ParseAbbreviations("\n".join(f"{smiles} {smiles}" for smiles in largest_first)))


def groups_of(molecule: Chem.Mol, rng: np.random.Generator, known_fraction: float = 1.0) -> list[Group]:
    """Groups of a molecule that have an abbreviation, none sharing an atom with another, in spellings by lot.

    So large a fraction of all abbreviations is known: where SO2Me is not, S, O, O and Me are written.
    """
    known = [definition for definition in _definitions() if rng.random() < known_fraction]
    labelled = rdAbbreviations.LabelMolAbbreviations(molecule, known, MAX_ABBREVIATED)
    groups = []
    for group in Chem.GetMolSubstanceGroups(labelled):
        spellings = GROUPS[group.GetProp("LABEL")]
        atoms = tuple(group.GetAtoms())  # the atom that the bond goes to comes first
        groups.append(Group(atoms, *spellings[rng.integers(len(spellings))]))
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
