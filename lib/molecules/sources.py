"""Where the molecules to draw come from, and which of them a standard InChI can label. Knows nothing of images."""

import gzip
import hashlib
import zlib
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rdkit import Chem, RDConfig, rdBase
from rdkit.Chem import BRICS, rdMolDescriptors

from lib.errors import NotationError, RuntimeMissingError, SettingsError
from lib.molecules.atom_labels import GROUPS
from lib.molecules.drawing_marks import ELEMENTS
from lib.molecules.smiles import read_inchi

# Of the molecules that come inside RDKit's wheel: a screening library, the NCI's first, ligands from ChEMBL.
SHIPPED_FILES = (
    (RDConfig.RDDataDir, "Pains/test_data/wehi_mols.csv"),
    (RDConfig.RDDataDir, "NCI/first_5K.smi"),
    (RDConfig.RDContribDir, "FreeWilson/data/CHEMBL2321810.smi"),
    (RDConfig.RDContribDir, "fraggle/data/ChEMBL_11265_actives.smi"),
)
DRAWN_ELEMENTS = frozenset({*ELEMENTS, "H"})
UNSEEN_PERCENT = 2  # of molecules, by hash of the InChI
NUM_FRAGMENTED = 1500  # molecules that are cut for recombination: a second of work, some 1,500 distinct fragments
TRITIUM_FRACTION = 0.1  # of the molecules with heavy hydrogen
RECOMBINED_HEAVY_ATOMS = (13, 34)  # sizes aimed at: with RDKit's own, the mean of the real collection
LEFT_OUT_WITHOUT_STEREO = 0.25  # fraction of recombined molecules that could name no stereo: too many beside real ones
TYPICAL_END = 8  # heavy atoms that an open end of a half-built molecule will still add, about


def shipped_smiles() -> list[str]:
    """The SMILES that RDKit brings along, some 16,000, repetitions and all."""
    paths = [Path(folder) / name for folder, name in SHIPPED_FILES]
    found = [smiles for path in paths if path.is_file() for smiles in _first_columns(path.read_text().splitlines())]
    if not found:
        raise RuntimeMissingError(f"RDKit's data files are not beside it ({paths[0]}): set drawing.smiles_file")
    return found


def read_smiles_file(path: str) -> list[str]:
    """The first column of a file, plain or .gz, without a header line. Raises SettingsError if that is nothing."""
    opener = gzip.open if path.endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", errors="replace") as lines:
            found = _first_columns(lines)
    except (OSError, EOFError, zlib.error) as error:
        raise SettingsError(f"drawing.smiles_file {path} cannot be read: {error}") from None
    with rdBase.BlockLogs():
        found = found[1:] if found and parse_smiles(found[0]) is None else found
    if not found:
        raise SettingsError(f"drawing.smiles_file {path} is empty: expected one SMILES a line")
    return found


def parse_smiles(smiles: str) -> Chem.Mol | None:
    """The molecule, or None if the text is no SMILES."""
    return Chem.MolFromSmiles(smiles)


def label_molecule(molecule: Chem.Mol, min_heavy_atoms: int, max_heavy_atoms: int) -> str | None:
    """The molecule's standard InChI, or None if it is not one to draw.

    To be drawn it must be one piece, of those sizes and of DRAWN_ELEMENTS, without radicals, and its InChI must come
    back the same from the molecule that RDKit makes of it.
    """
    if not min_heavy_atoms <= molecule.GetNumHeavyAtoms() <= max_heavy_atoms:
        return None
    if any(atom.GetNumRadicalElectrons() or atom.GetSymbol() not in DRAWN_ELEMENTS for atom in molecule.GetAtoms()):
        return None
    inchi: str = Chem.MolToInchi(molecule)  # type: ignore[no-untyped-call]
    if not inchi.startswith("InChI=1S/") or "." in inchi.split("/")[1]:
        return None
    try:
        drawn = read_inchi(inchi)
    except NotationError:
        return None
    return inchi if Chem.MolToInchi(drawn) == inchi else None  # type: ignore[no-untyped-call]


def is_unseen(inchi: str) -> bool:
    """Whether a molecule is kept from every training on drawings, whatever file it comes from."""
    return int.from_bytes(hashlib.blake2b(inchi.encode(), digest_size=4).digest(), "big") % 100 < UNSEEN_PERCENT


def with_random_stereo(molecule: Chem.Mol, rng: np.random.Generator, centres_alone: bool = False) -> Chem.Mol:
    """The molecule with a random configuration for each centre and double bond that could have one and has none.

    Left alone if it has bridgeheads, whose configurations depend on each other. `centres_alone` leaves double bonds as
    they are.
    """
    if rdMolDescriptors.CalcNumBridgeheadAtoms(molecule):
        return molecule
    molecule = Chem.Mol(molecule)
    for element in Chem.FindPotentialStereo(molecule):
        if element.specified != Chem.StereoSpecified.Unspecified:
            continue
        is_first = rng.random() < 0.5
        if element.type == Chem.StereoType.Atom_Tetrahedral:
            tag = Chem.ChiralType.CHI_TETRAHEDRAL_CW if is_first else Chem.ChiralType.CHI_TETRAHEDRAL_CCW
            molecule.GetAtomWithIdx(element.centeredOn).SetChiralTag(tag)
        elif element.type == Chem.StereoType.Bond_Double and not centres_alone:
            around = list(element.controllingAtoms)  # two at each end; one that is not there has the largest index
            beside = min(around[:2]), min(around[2:])
            if max(beside) < molecule.GetNumAtoms():
                bond = molecule.GetBondWithIdx(element.centeredOn)
                bond.SetStereoAtoms(*beside)
                bond.SetStereo(Chem.BondStereo.STEREOCIS if is_first else Chem.BondStereo.STEREOTRANS)
    return molecule


def with_heavy_hydrogen(molecule: Chem.Mol, rng: np.random.Generator) -> Chem.Mol:
    """The molecule with deuterium, seldom tritium, for all hydrogen at one of its carbons; as it is if none has any."""
    carbons = [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetSymbol() == "C" and atom.GetTotalNumHs()]
    if not carbons:
        return molecule
    chosen = carbons[rng.integers(len(carbons))]
    mass_number = 3 if rng.random() < TRITIUM_FRACTION else 2
    heavy = Chem.RWMol(Chem.AddHs(molecule, onlyOnAtoms=[chosen]))
    for atom in heavy.GetAtomWithIdx(chosen).GetNeighbors():
        if atom.GetAtomicNum() == 1:
            atom.SetIsotope(mass_number)
    return heavy.GetMol()


# How often groups are put on that drawings have often and the molecules of files seldom, times any other group. What is
# written CF3 was read as CH3, an iodine as another halogen, and an ethynyl as a propynyl.
OFTEN = {"C(F)(F)F": 25, "OC(F)(F)F": 12, "[N+](=O)[O-]": 4, "C(=O)[OH]": 4, "[NH2]": 6, "I": 6, "Br": 3, "C#C": 5}
GROUP_WEIGHTS = dict.fromkeys(GROUPS, 1) | OFTEN


def with_random_group(molecule: Chem.Mol, rng: np.random.Generator) -> Chem.Mol:
    """The molecule with a group of OFTEN, or one that has an abbreviation, at a carbon; as it is if none has room."""
    carbons = [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetSymbol() == "C" and atom.GetTotalNumHs()]
    if not carbons:
        return molecule
    weights = np.array(list(GROUP_WEIGHTS.values()))
    group = Chem.MolFromSmiles(list(GROUP_WEIGHTS)[rng.choice(len(weights), p=weights / weights.sum())])
    joined = Chem.RWMol(Chem.CombineMols(molecule, group))
    carbon, first = joined.GetAtomWithIdx(carbons[rng.integers(len(carbons))]), molecule.GetNumAtoms()
    carbon.SetNumExplicitHs(max(0, carbon.GetNumExplicitHs() - 1))
    carbon.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    joined.GetAtomWithIdx(first).SetNumRadicalElectrons(0)  # the open end of a group in brackets
    joined.AddBond(carbon.GetIdx(), first, Chem.BondType.SINGLE)
    Chem.SanitizeMol(joined)
    return joined.GetMol()


def recombine(count: int, rng: np.random.Generator) -> list[Chem.Mol]:
    """New molecules joined from the BRICS fragments of RDKit's own (Degen et al. 2008, doi 10.1002/cmdc.200800178).

    Distinct ones are not promised, but repetitions are rare.
    """
    shelf = _fragment_shelf()
    molecules: list[Chem.Mol] = []
    while len(molecules) < count:
        molecule = _grow(shelf, int(rng.integers(*RECOMBINED_HEAVY_ATOMS, endpoint=True)), rng)
        if molecule is None or (rng.random() < LEFT_OUT_WITHOUT_STEREO and not Chem.FindPotentialStereo(molecule)):
            continue
        molecules.append(molecule)
    return molecules


class Fragment(NamedTuple):
    """A fragment and one of its open ends (the index of a dummy atom, whose isotope is its BRICS environment)."""

    molecule: Chem.Mol
    end: int


class FragmentShelf(NamedTuple):
    """Fragments by the environment that they can be joined to; each as often as it was cut out."""

    linkers: list[Chem.Mol]  # with more open ends than one
    linkers_for: dict[int, list[Fragment]]
    terminals_for: dict[int, list[Fragment]]


@cache
def _fragment_shelf() -> FragmentShelf:
    smiles = shipped_smiles()
    chosen = np.random.default_rng(0).permutation(len(smiles))[:NUM_FRAGMENTED]
    partners = _partners()
    shelf = FragmentShelf([], defaultdict(list), defaultdict(list))
    for index in sorted(chosen):
        molecule = parse_smiles(smiles[index])
        if molecule is None or len(Chem.GetMolFrags(molecule)) > 1:
            continue
        cut = BRICS.BreakBRICSBonds(molecule)  # type: ignore[no-untyped-call]
        for fragment in Chem.GetMolFrags(cut, asMols=True):
            ends = _open_ends(fragment)
            if not ends or any(environment not in partners for _, environment in ends):
                continue
            is_linker = len(ends) > 1
            if is_linker:
                shelf.linkers.append(fragment)
            by_partner = shelf.linkers_for if is_linker else shelf.terminals_for
            for end, environment in ends:
                for partner in partners[environment]:
                    by_partner[partner].append(Fragment(fragment, end))
    return shelf


def _partners() -> dict[int, list[int]]:
    """Which BRICS environments a single bond may join; the double bond of 7a and 7b is left out."""
    partners = defaultdict(set)
    for first, second, bond in (pair for rule in BRICS.reactionDefs for pair in rule):
        if bond == "-":
            partners[int(first)].add(int(second))
            partners[int(second)].add(int(first))
    return {environment: sorted(others) for environment, others in partners.items()}


def _open_ends(molecule: Chem.Mol) -> list[tuple[int, int]]:
    return [(atom.GetIdx(), atom.GetIsotope()) for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 0]


def _grow(shelf: FragmentShelf, num_heavy_atoms: int, rng: np.random.Generator) -> Chem.Mol | None:
    """Join fragments, end by end, until about that many atoms; None if an end finds no partner."""
    molecule = Chem.RWMol(shelf.linkers[rng.integers(len(shelf.linkers))])
    while ends := _open_ends(molecule):
        end, environment = ends[0]
        is_full = molecule.GetNumHeavyAtoms() + TYPICAL_END * len(ends) >= num_heavy_atoms
        candidates = (shelf.terminals_for if is_full else shelf.linkers_for)[environment]
        if not candidates:
            return None
        _join(molecule, end, candidates[rng.integers(len(candidates))])
    Chem.SanitizeMol(molecule)
    return molecule.GetMol()


def _join(molecule: Chem.RWMol, end: int, fragment: Fragment) -> None:
    other_end = molecule.GetNumAtoms() + fragment.end
    molecule.InsertMol(fragment.molecule)
    neighbours = [molecule.GetAtomWithIdx(index).GetNeighbors()[0].GetIdx() for index in (end, other_end)]
    molecule.AddBond(neighbours[0], neighbours[1], Chem.BondType.SINGLE)
    molecule.RemoveAtom(other_end)
    molecule.RemoveAtom(end)


def _first_columns(lines: Iterable[str]) -> list[str]:
    return [line.replace('"', "").replace(",", " ").split(maxsplit=1)[0] for line in lines if line.strip(' \t\r\n",')]
