"""A SMILES as the graph that it draws, and what the drawing shows of it: where atoms lie, wedges, letters.

A centre's configuration follows from its neighbours' positions and one wedge. RDKit reads it off here, so that it holds
however the molecule is laid out. Atoms that take each other's place, such as O and S, follow from what is written.

A atoms, B bonds, O open atoms, K kinds of bonds, N kinds of nodes.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from rdkit import Chem, RDLogger

from lib.captions.notations import Graph
from lib.errors import NotationError
from lib.images.geometry import middle_of_widest_gap
from lib.molecules.drawn_letters import MOST_CAPTIONS, WORTH_NAMING, likeliest_choices, likeliest_symbols, with_symbols
from lib.molecules.smiles import flat_conformer, inchi_of_molecule, is_atom, split_smiles
from model.trace_kinds import HASH, TURNED_HASH, TURNED_WEDGE, WEDGE

CLOCKWISE, COUNTER = Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW
WITHOUT = Chem.ChiralType.CHI_UNSPECIFIED
DIRECTIONS = (Chem.BondDir.BEGINWEDGE, Chem.BondDir.BEGINDASH)
WEDGES, TURNED_WEDGES = [WEDGE, HASH], [TURNED_WEDGE, TURNED_HASH]  # kinds in the order of DIRECTIONS
DOUBLE_BONDS_NAMED = " with configuration of double bonds"  # a mark of skeletons
LEAST = 1e-3  # probability that a centre has the configuration that its drawing does not show
BOND_PX = 20.0  # RDKit takes coordinates for angstroms: bonds of about one


def graph_of_smiles(smiles: str) -> Graph:
    """The graph of a SMILES. Raises NotationError if it is none."""
    molecule = _parsed(smiles)
    tokens = [index for index, token in enumerate(split_smiles(smiles)) if is_atom(token)]
    if len(tokens) != molecule.GetNumAtoms():
        raise NotationError(f"{smiles[:80]!r} has {molecule.GetNumAtoms()} atoms in {len(tokens)} tokens")
    return Graph(
        (inchi_of_molecule(molecule) or smiles) + DOUBLE_BONDS_NAMED * _names_double_bonds(smiles),
        tokens,
        [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()],
        [atom.GetAtomicNum() != 6 for atom in molecule.GetAtoms()],
        _open_atoms(molecule),
    )


def variants_of_drawing(
    smiles: str, positions_xy: np.ndarray, kinds: np.ndarray, open_kinds: np.ndarray, node_kinds: np.ndarray
) -> dict[str, float]:
    """The InChIs that a SMILES may mean by its drawing, with their probabilities, the likeliest first.

    Positions are of its atoms in pixels (A, 2); kinds (B, K) are of its bonds, open kinds (O, K) of bonds to hydrogens,
    node kinds (A, N) of its atoms. Raises NotationError if it is no SMILES.
    """
    written = _parsed(smiles)
    hydrogens = dict(zip(_open_atoms(written), open_kinds, strict=True))
    found: dict[str, float] = {}
    for symbols, as_written in likeliest_symbols(written, node_kinds):
        molecule, places = with_symbols(written, symbols, positions_xy)
        if molecule is None:
            continue
        for inchi, probability in _stereoisomers(laid_out(molecule, places), kinds, hydrogens, smiles):
            found[inchi] = found.get(inchi, 0.0) + as_written * probability
    likeliest = sorted(found.items(), key=lambda one: -one[1])[:MOST_CAPTIONS]
    return {inchi: one for inchi, one in likeliest if one >= WORTH_NAMING * likeliest[0][1]}


def _stereoisomers(
    molecule: Chem.Mol, kinds: np.ndarray, hydrogens: dict[int, np.ndarray], smiles: str
) -> Iterator[tuple[str, float]]:
    """InChIs of a molecule that is laid out with what its bonds look like, and their probabilities."""
    turned = _turned_round(molecule)
    tags = {one: _chiral_tags(molecule, turned, one, kinds, hydrogens.get(one)) for one in _centres(molecule)}
    likeliest = likeliest_choices(list(tags.values()))
    for chosen, probability in likeliest:
        if probability < WORTH_NAMING * likeliest[0][1]:
            break
        drawn = Chem.RWMol(molecule)
        for centre, tag in zip(tags, chosen, strict=True):
            drawn.GetAtomWithIdx(centre).SetChiralTag(tag)
        if _names_double_bonds(smiles):
            Chem.DetectBondStereochemistry(drawn)
        Chem.AssignStereochemistry(drawn, cleanIt=True, force=True)
        inchi = inchi_of_molecule(drawn)
        if inchi:
            yield inchi, probability


def _names_double_bonds(smiles: str) -> bool:
    return "/" in smiles or "\\" in smiles


def _parsed(smiles: str) -> Chem.Mol:
    """The molecule of a SMILES without the stereo that it names. Raises NotationError if it is none."""
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise NotationError(f"{smiles[:80]!r} is no SMILES of a molecule")
    Chem.RemoveStereochemistry(molecule)
    return molecule


def _centres(molecule: Chem.Mol) -> list[int]:
    found = Chem.FindPotentialStereo(Chem.Mol(molecule))
    return [one.centeredOn for one in found if one.type == Chem.StereoType.Atom_Tetrahedral]


def _open_atoms(molecule: Chem.Mol) -> list[int]:
    """Centres with a hydrogen that may be drawn."""
    atoms = [molecule.GetAtomWithIdx(index) for index in _centres(molecule)]
    return [atom.GetIdx() for atom in atoms if atom.GetDegree() == 3 and atom.GetTotalNumHs() == 1]


def laid_out(molecule: Chem.Mol, positions_xy: np.ndarray) -> Chem.Mol:
    """The molecule itself, with its atoms (A, 2) where they lie in pixels, y counted downwards."""
    molecule.AddConformer(flat_conformer(positions_xy / BOND_PX))
    return molecule


def _chiral_tags(
    molecule: Chem.Mol, turned: Chem.Mol, centre: int, kinds: np.ndarray, hydrogen: np.ndarray | None
) -> list[tuple[Chem.ChiralType, float]]:
    """How likely a centre has each configuration, or none; `turned` is the molecule with its bonds turned round."""
    likely = {CLOCKWISE: 0.0, COUNTER: 0.0}
    is_plain = 1.0  # probability that no bond at this centre is a wedge
    looks = []
    for bond in molecule.GetAtomWithIdx(centre).GetBonds():
        index = bond.GetIdx()
        begins = bond.GetBeginAtomIdx() == centre
        looks.append((molecule if begins else turned, index, kinds[index][WEDGES if begins else TURNED_WEDGES]))
    if hydrogen is not None:
        with_hydrogen = _with_hydrogen(molecule, centre)
        looks.append((with_hydrogen, with_hydrogen.GetNumBonds() - 1, hydrogen[WEDGES]))
    for laid_out, index, probabilities in looks:
        is_plain *= 1 - min(1.0, float(probabilities.sum()))
        for direction, probability in zip(DIRECTIONS, probabilities.tolist(), strict=True):
            tag = _chiral_tag(laid_out, centre, index, direction) if probability >= LEAST else WITHOUT
            if tag in likely:
                likely[tag] += probability
    total = sum(likely.values())
    named = [(tag, (1 - is_plain) * one / total if total else 0.0) for tag, one in likely.items()]
    return [(tag, max(LEAST, one)) for tag, one in (*named, (WITHOUT, is_plain))]


def _chiral_tag(laid_out: Chem.Mol, centre: int, bond: int, direction: Chem.BondDir) -> Chem.ChiralType:
    """The configuration of a centre at which that bond begins, if it alone is a wedge."""
    drawn = Chem.RWMol(laid_out)
    drawn.GetBondWithIdx(bond).SetBondDir(direction)
    Chem.AssignChiralTypesFromBondDirs(drawn)
    # Without a hydrogen that was drawn: a chiral tag counts in the order of the neighbours.
    return Chem.RemoveHs(drawn, sanitize=False).GetAtomWithIdx(centre).GetChiralTag()


def _turned_round(molecule: Chem.Mol) -> Chem.Mol:
    """The same molecule, its bonds in the same order, each beginning where it ended."""
    turned = Chem.RWMol(molecule)
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetBondType()) for bond in molecule.GetBonds()]
    for begin, end, _ in bonds:
        turned.RemoveBond(begin, end)
    for begin, end, order in bonds:
        turned.AddBond(end, begin, order)
    turned.UpdatePropertyCache(strict=False)
    return turned


def _with_hydrogen(molecule: Chem.Mol, centre: int) -> Chem.Mol:
    """The molecule with a centre's hydrogen drawn, between those of its bonds that are furthest apart."""
    drawn = Chem.AddHs(molecule, onlyOnAtoms=[centre])
    conformer = drawn.GetConformer()
    at = conformer.GetAtomPosition(centre)
    hydrogen = drawn.GetNumAtoms() - 1
    others = [atom.GetIdx() for atom in drawn.GetAtomWithIdx(centre).GetNeighbors() if atom.GetIdx() != hydrogen]
    angle = middle_of_widest_gap([_angle(at, conformer.GetAtomPosition(other)) for other in others])
    conformer.SetAtomPosition(hydrogen, (at.x + math.cos(angle), at.y + math.sin(angle), 0.0))
    return drawn


def _angle(at: Any, other: Any) -> float:
    return math.atan2(other.y - at.y, other.x - at.x)
