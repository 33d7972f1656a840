"""A caption as a molfile, which an editor of structures opens: laid out as its image may have been."""

import numpy as np
from rdkit import Chem

from lib.molecules.layout import Layout
from lib.molecules.redrawn import layout_as_drawn
from lib.molecules.smiles import drawn_molecule, flat_conformer


def molfile_as_drawn(inchi: str) -> str:
    """The molfile (V2000), bonds about as long as one unit, double bonds and hydrogens where the drawer puts them.

    Raises NotationError if the InChI is not one of a molecule that can be drawn.
    """
    layout = layout_as_drawn(inchi)
    molecule = drawn_molecule(inchi, layout)
    hydrogen_at = _hydrogens(layout, molecule.GetNumAtoms())
    positions = list(range(molecule.GetNumAtoms()))  # in the layout, of each atom
    # Without its hydrogen a centre's other three bonds may all lie on one side, which programs read in two ways.
    molecule = Chem.AddHs(molecule, onlyOnAtoms=list(hydrogen_at)) if hydrogen_at else molecule
    added = (molecule.GetAtomWithIdx(index) for index in range(len(positions), molecule.GetNumAtoms()))
    positions += [hydrogen_at[atom.GetNeighbors()[0].GetIdx()] for atom in added]
    molecule.SetIntProp("_MolFileChiralFlag", 1)  # its configurations are as drawn, not those of a mixture
    molecule.RemoveAllConformers()
    molecule.AddConformer(flat_conformer(np.stack((layout.atom_x, layout.atom_y), axis=1)[positions]))
    return Chem.MolToMolBlock(molecule)


def _hydrogens(layout: Layout, num_atoms: int) -> dict[int, int]:
    """By atom, the position in the layout of the hydrogen that the drawer made explicit there."""
    ends = zip(layout.bond_begin.tolist(), layout.bond_end.tolist(), strict=True)
    return {min(bond): max(bond) for bond in ends if min(bond) < num_atoms <= max(bond)}
