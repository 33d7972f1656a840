"""What the drawer of a molecule knows of its image, as marks: a position with labels for each atom and each bond."""

import numpy as np
from rdkit import Chem

from lib.errors import NotationError
from lib.molecules.layout import Layout
from lib.molecules.smiles import drawn_molecule, read_inchi

ELEMENTS = ("C", "N", "O", "S", "F", "Cl", "Br", "I", "P", "B", "Si", "Se")
NUM_DEGREES, NUM_HYDROGENS, NUM_DIRECTIONS = 4, 3, 4
LABELS = (
    *ELEMENTS,
    *(f"{count} neighbours" for count in range(1, NUM_DEGREES + 1)),
    *(f"{count} hydrogens" for count in range(1, NUM_HYDROGENS + 1)),
    "positive",
    "negative",
    "atom in ring",
    "stereo centre",
    "single bond",
    "double bond",
    "triple bond",
    "wedge",
    "hash",
    "bond in ring",
    *(f"bond direction {position}" for position in range(NUM_DIRECTIONS)),
    "explicit hydrogen",  # new labels come last: a network that knows fewer goes on with the same ones
)
_AT = {label: position for position, label in enumerate(LABELS)}


def mark_labels(inchi: str, layout: Layout) -> np.ndarray:
    """Labels (M, L) of 0 or 1: the layout's atoms, explicit hydrogens last, then its bonds.

    Raises NotationError if RDKit cannot read the InChI or the layout is not its own.
    """
    molecule = read_inchi(inchi)
    centres = {index for index, _ in Chem.FindMolChiralCenters(molecule, useLegacyImplementation=False)}
    molecule = _with_explicit_hydrogens(drawn_molecule(inchi, layout), layout)
    atoms = np.zeros((molecule.GetNumAtoms(), len(LABELS)), np.uint8)
    for atom, row in zip(molecule.GetAtoms(), atoms, strict=True):
        names = [atom.GetSymbol(), f"{atom.GetDegree()} neighbours", f"{atom.GetTotalNumHs()} hydrogens"]
        names += ["positive"] * (atom.GetFormalCharge() > 0) + ["negative"] * (atom.GetFormalCharge() < 0)
        names += ["atom in ring"] * atom.IsInRing() + ["stereo centre"] * (atom.GetIdx() in centres)
        names += ["explicit hydrogen"] * (atom.GetAtomicNum() == 1)
        row[[_AT[name] for name in names if name in _AT]] = 1
    bonds = np.zeros((len(layout.bond_begin), len(LABELS)), np.uint8)
    ends = zip(layout.bond_begin.tolist(), layout.bond_end.tolist(), strict=True)
    drawn = [molecule.GetBondBetweenAtoms(begin, end) for begin, end in ends]
    if None in drawn:
        raise NotationError(f"the layout of {inchi} has a bond that the molecule has not")
    is_in_ring = np.array([bond.IsInRing() for bond in drawn], bool)
    for name, chosen in (
        ("single bond", layout.bond_order == 1),
        ("double bond", layout.bond_order == 2),
        ("triple bond", layout.bond_order == 3),
        ("wedge", layout.bond_wedge == 1),
        ("hash", layout.bond_wedge == 2),
        ("bond in ring", is_in_ring),
    ):
        bonds[chosen, _AT[name]] = 1
    # The same for a drawing turned by 180 degrees.
    across = layout.atom_x[layout.bond_end] - layout.atom_x[layout.bond_begin]
    down = layout.atom_y[layout.bond_end] - layout.atom_y[layout.bond_begin]
    directions = np.rint(np.arctan2(down, across) / np.pi * NUM_DIRECTIONS).astype(int) % NUM_DIRECTIONS
    bonds[np.arange(len(bonds)), _AT["bond direction 0"] + directions] = 1
    return np.concatenate((atoms, bonds))


def _with_explicit_hydrogens(molecule: Chem.Mol, layout: Layout) -> Chem.Mol:
    """The molecule with the hydrogens that its layout has beside the InChI's atoms."""
    molecule = Chem.RWMol(molecule)
    num_atoms = molecule.GetNumAtoms()
    bonds = np.stack((layout.bond_begin, layout.bond_end), axis=1)
    to_hydrogens = {int(bond.max()): int(bond.min()) for bond in bonds if bond.max() >= num_atoms}
    hydrogens = range(num_atoms, len(layout.atom_x))
    bonded_once = sorted(bonds[bonds >= num_atoms].tolist()) == list(hydrogens)
    if len(layout.atom_x) < num_atoms or not bonded_once or any(heavy >= num_atoms for heavy in to_hydrogens.values()):
        raise NotationError(f"the {len(layout.atom_x)} atoms of the layout are not those of a molecule of {num_atoms}")
    for hydrogen in hydrogens:
        heavy = molecule.GetAtomWithIdx(to_hydrogens[hydrogen])
        molecule.AddAtom(Chem.Atom(1))
        molecule.AddBond(heavy.GetIdx(), hydrogen, Chem.BondType.SINGLE)
        heavy.SetNumExplicitHs(max(0, heavy.GetNumExplicitHs() - 1))
    molecule.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(molecule)
    return molecule.GetMol()


def mark_positions(layout: Layout) -> np.ndarray:
    """Places (M, 2), x and y in pixels of the layout's image: atoms, then the middles of bonds."""
    atoms = np.stack((layout.atom_x, layout.atom_y), axis=1)
    middles = (atoms[layout.bond_begin] + atoms[layout.bond_end]) / 2
    return np.concatenate((atoms, middles)).astype(np.float32)
