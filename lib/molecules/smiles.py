"""SMILES of a molecule in the order it is drawn, and back to its InChI; may end the process on a malformed InChI.

Numbering atoms by where they lie, left to right, makes the next token follow from what is near on the paper, where
canonical SMILES follows a ranking of the whole graph that no eye can see.
"""

import re
from functools import lru_cache
from typing import Literal

import numpy as np
from rdkit import Chem, RDLogger

from lib.captions.notations import Writing
from lib.errors import NotationError
from lib.molecules.layout import Layout

# A bracket atom is one token, and so are Br, Cl and ring numbers above 9.
_TOKEN = re.compile(r"\[[^\]]*\]|Br|Cl|%\d\d|.", re.DOTALL)
_ATOM = re.compile(r"\[[^\]]*\]|Br|Cl|[A-Za-z]")
ORDERS = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
_AMIDE = Chem.MolFromSmarts("[OX2H1]-[#6X3]=[NX2]")
SLANT = 0.3  # of the lines along which atoms are counted, so that those above each other have an order


def write_smiles(inchi: str, layout: Layout | None, is_kekule: bool, turn_deg: Literal[0, 180] = 0) -> Writing:
    """Write a molecule as SMILES, from left to right by where its atoms lie, or canonically without a layout.

    is_kekule writes double bonds as they are drawn instead of aromatic rings. turn_deg is that of the image after it
    was drawn. Raises NotationError if the InChI is not one of a molecule, or of more atoms than the layout has.
    """
    molecule = drawn_molecule(inchi, layout) if is_kekule else read_inchi(inchi)
    if layout is None:
        order = np.arange(molecule.GetNumAtoms())
        smiles = Chem.MolToSmiles(molecule, kekuleSmiles=is_kekule)
    else:
        num_atoms = molecule.GetNumAtoms()  # hydrogens that the drawer made explicit come after them
        if len(layout.atom_x) < num_atoms:
            raise NotationError(f"{inchi} has {num_atoms} atoms, its layout {len(layout.atom_x)}")
        along = layout.atom_x[:num_atoms] + SLANT * layout.atom_y[:num_atoms]
        order = np.argsort(-along if turn_deg else along, kind="stable")
        molecule = Chem.RenumberAtoms(molecule, order.tolist())
        smiles = Chem.MolToSmiles(molecule, canonical=False, rootedAtAtom=0, kekuleSmiles=is_kekule)
    written = order[list(molecule.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"])]
    tokens = split_smiles(smiles)
    atoms = iter(written.tolist())
    return Writing(tokens, [next(atoms) if is_atom(token) else -1 for token in tokens])


def drawn_molecule(inchi: str, layout: Layout | None) -> Chem.Mol:
    """The molecule of an InChI with its double bonds and hydrogens where the layout has them: Kekule form, tautomer.

    They are RDKit's without a layout, or with one that is not of this molecule. Raises NotationError if the InChI is
    not one of a molecule.
    """
    molecule = read_inchi(inchi)
    try:
        Chem.Kekulize(molecule, clearAromaticFlags=True)
    except Chem.KekulizeException as error:
        raise NotationError(str(error)) from None
    if layout is None:
        return molecule
    drawn = Chem.Mol(molecule)
    gained = np.zeros(molecule.GetNumAtoms())  # bond orders, so that many hydrogens less
    ends = zip(layout.bond_begin.tolist(), layout.bond_end.tolist(), layout.bond_order.tolist(), strict=True)
    for begin, end, order in ends:
        if max(begin, end) >= drawn.GetNumAtoms():
            continue  # to a hydrogen
        bond = drawn.GetBondBetweenAtoms(begin, end)
        if bond is None or order not in ORDERS:
            return molecule
        gained[[begin, end]] += order - bond.GetBondTypeAsDouble()
        bond.SetBondType(ORDERS[order])
    if not gained.any():
        return drawn
    for index in np.flatnonzero(gained).tolist():
        atom = drawn.GetAtomWithIdx(index)
        atom.SetNoImplicit(False)
        atom.SetNumExplicitHs(0)
    try:
        Chem.SanitizeMol(drawn, Chem.SANITIZE_PROPERTIES)
    except Chem.MolSanitizeException:
        return molecule
    return drawn if Chem.MolToInchi(drawn) == inchi else molecule  # type: ignore[no-untyped-call]


def flat_conformer(positions_xy: np.ndarray) -> Chem.Conformer:
    """Where atoms lie (A, 2), y counted downwards, in units of about a bond: RDKit takes them for angstroms."""
    conformer = Chem.Conformer(len(positions_xy))
    conformer.Set3D(False)
    conformer.SetPositions(np.pad(positions_xy * (1.0, -1.0), ((0, 0), (0, 1))))
    return conformer


def amides_of(molecule: Chem.Mol) -> list[tuple[int, int, int]]:
    """Oxygen, carbon and nitrogen of each HO-C=N that chemists draw as O=C-NH; standard InChI does not tell them apart.

    No atom is in two of them.
    """
    amides: list[tuple[int, int, int]] = []
    taken: set[int] = set()
    for amide in molecule.GetSubstructMatches(_AMIDE):
        if not taken & set(amide):
            taken |= set(amide)
            amides.append(amide)
    return amides


def with_amides(molecule: Chem.Mol) -> Chem.Mol:
    """The molecule with O=C-NH for each HO-C=N; as it is if that gives no molecule."""
    changed = Chem.Mol(molecule)
    for oxygen, carbon, nitrogen in amides_of(molecule):
        for atom, order in ((oxygen, Chem.BondType.DOUBLE), (nitrogen, Chem.BondType.SINGLE)):
            bond = changed.GetBondBetweenAtoms(carbon, atom)
            bond.SetStereo(Chem.BondStereo.STEREONONE)
            bond.SetBondType(order)
            changed.GetAtomWithIdx(atom).SetNoImplicit(False)
            changed.GetAtomWithIdx(atom).SetNumExplicitHs(0)
    try:
        Chem.SanitizeMol(changed)
    except Chem.MolSanitizeException:
        return molecule
    return changed


def split_smiles(smiles: str) -> list[str]:
    """The tokens of a SMILES, in order."""
    return _TOKEN.findall(smiles)


def is_atom(token: str) -> bool:
    """Whether a token names an atom."""
    return bool(_ATOM.fullmatch(token))


def read_inchi(inchi: str) -> Chem.Mol:
    """The molecule of an InChI, atoms in its order, the caller's own. Raises NotationError if there is none."""
    return Chem.Mol(_read_inchi(inchi))


@lru_cache(maxsize=1)  # a drawer asks several times for the same one
def _read_inchi(inchi: str) -> Chem.Mol:
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    molecule = Chem.MolFromInchi(inchi)  # type: ignore[no-untyped-call]
    if molecule is None:
        raise NotationError(f"{inchi[:80]!r} is no InChI of a molecule")
    return molecule


def inchi_of_smiles(smiles: str, may_be_radical: bool = True) -> str | None:
    """The standard InChI of a SMILES, or None if RDKit cannot read it as a molecule, or if it may not be a radical.

    None too for what RDKit would cut off: letters that are not ASCII, and what follows a blank.
    """
    if not smiles.isascii() or len(smiles.split()) != 1:
        return None
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        return None
    is_radical = any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
    return inchi_of_molecule(molecule) if may_be_radical or not is_radical else None


def inchi_of_typed(text: str) -> str | None:
    """The standard InChI of an InChI, standard or not, or of a SMILES; None if it is none of a molecule.

    An InChI with too few hydrogens for its formula, as one that was cut off, is none: it would be read as a radical.
    An InChI may be broken into lines, a SMILES may not.
    """
    if not text.startswith("InChI="):
        return inchi_of_smiles(text)
    text = "".join(text.split())
    try:
        inchi = inchi_of_molecule(read_inchi(text))
    except NotationError:
        return None
    return inchi if inchi and _formula_of(inchi) == _formula_of(text) else None


def _formula_of(inchi: str) -> str:
    return inchi.split("/")[1]


def inchi_of_molecule(molecule: Chem.Mol) -> str | None:
    """The standard InChI of a molecule, or None if there is none."""
    return Chem.MolToInchi(molecule) or None  # type: ignore[no-untyped-call]


def nearest_readable(smiles: str) -> str:
    """The InChI of the longest beginning of a SMILES that is a molecule without its open ends; '' if none is."""
    tokens = split_smiles(smiles)
    for end in range(len(tokens), 0, -1):
        inchi = inchi_of_smiles("".join(_without_open_ends(tokens[:end])))
        if inchi:
            return inchi
    return ""


def _without_open_ends(tokens: list[str]) -> list[str]:
    """Leave out branches' and rings' marks that have no partner."""
    kept = dict(enumerate(tokens))
    open_branches: list[int] = []
    open_rings: dict[str, int] = {}
    for index, token in enumerate(tokens):
        if token == "(":
            open_branches.append(index)
        elif token == ")":
            if open_branches:
                open_branches.pop()
            else:
                del kept[index]
        elif token.isdecimal() or token.startswith("%"):
            if token in open_rings:
                del open_rings[token]
            else:
                open_rings[token] = index
    for index in (*open_branches, *open_rings.values()):
        del kept[index]
    while kept and kept[max(kept)] in "=#-/\\(":
        del kept[max(kept)]
    return list(kept.values())
