"""Forty molecules of many kinds, to be drawn by every drawer, and the molecule that a drawing shows."""

from collections.abc import Callable, Sequence
from functools import cache

from rdkit import Chem

from lib.molecules.drawing_store import DrawingStore
from lib.molecules.layout import Layout
from lib.molecules.smiles import drawn_molecule, inchi_of_smiles
from lib.settings import Settings
from model.vocabulary import Vocabulary

Drawn = Callable[[Sequence[str]], tuple[DrawingStore, Vocabulary, Settings]]  # SMILES to what readers learn from

SMILES = (
    # Small and large, chains and rings
    "CCO",
    "CC",
    "C#CCO",
    "CCN(CC)CC",
    "Clc1ccncc1",
    "c1ccc2ccccc2c1",
    "O=C1CCCCC1",
    "CC(C)(C)c1ccc(Br)cc1I",
    "CC(=O)Oc1ccccc1C(=O)O",
    "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "FC(F)(F)c1ccc(cc1)S(=O)(=O)N1CCOCC1",
    "C1CC2CCC1C2",
    "CCCCCCCCCCCCCCCC(=O)OCC(O)CO",
    "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    "COc1cc2c(cc1OC)CCN(CCc1ccc(NC(=O)c3cc(OC)c(OC)cc3NC(=O)c3ccc4ccccc4n3)cc1)C2",
    "OB(O)c1ccccc1",
    "C[Si](C)(C)C#Cc1ccccc1",
    "CP(C)(=O)c1ccccc1",
    "N#Cc1c[nH]c2ccccc12",
    "CSc1nnc(SC)s1",
    # Charges
    "CC[N+](C)(C)CC(=O)[O-]",
    "O=[N+]([O-])c1ccc([N+](=O)[O-])cc1",
    "C[n+]1ccccc1",
    "[NH3+]CC(=O)[O-]",
    # Heavy hydrogen
    "[2H]C([2H])([2H])O",
    "[2H]c1ccc(N)cc1",
    "[2H]C([2H])([2H])[C@H](N)C(=O)O",
    "[3H]C[C@@H](O)/C=C/c1ccc([2H])cc1",
    # Stereo centres, in rings and beside them
    "C[C@H](N)C(=O)O",
    "C[C@@H](N)C(=O)O",
    "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O",
    "C[C@H](O)[C@@H](N)C(=O)O",
    "C[C@]12CC[C@H]3[C@@H](CCC4=CC(=O)CC[C@@]43C)[C@@H]1CC[C@@H]2O",
    "CC1(C)S[C@@H]2[C@H](NC(=O)Cc3ccccc3)C(=O)N2[C@H]1C(=O)O",
    "C[C@H]1CCCC[C@@H]1N",
    "N[C@@H](Cc1ccccc1)C(=O)N[C@@H](CS)C(=O)NCC(=O)O",
    # Stereo double bonds
    "OC(=O)/C=C/C(=O)O",
    "OC(=O)/C=C\\C(=O)O",
    "C/C=C/[C@H](C)Cl",
    "CC(/C=C/c1ccccc1)=N/O",
)


@cache
def inchis() -> tuple[str, ...]:
    """Their standard InChIs."""
    return tuple(inchi for smiles in SMILES if (inchi := inchi_of_smiles(smiles)))


def shown_by(inchi: str, layout: Layout) -> Chem.Mol:
    """The molecule that the layout's positions_xy, bonds and wedges alone say, of the InChI's atoms."""
    molecule = Chem.RWMol()
    known = drawn_molecule(inchi, layout)
    for index in range(len(layout.atom_x)):
        atom = Chem.Atom(1)
        if index < known.GetNumAtoms():
            like = known.GetAtomWithIdx(index)
            atom = Chem.Atom(like.GetAtomicNum())
            atom.SetFormalCharge(like.GetFormalCharge())
            atom.SetIsotope(like.GetIsotope())
        molecule.AddAtom(atom)
    orders = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
    directions = {1: Chem.BondDir.BEGINWEDGE, 2: Chem.BondDir.BEGINDASH}
    for begin, end, order, wedge in zip(*(column.tolist() for column in layout[2:]), strict=True):
        molecule.AddBond(begin, end, orders[int(order)])
        if wedge:
            molecule.GetBondBetweenAtoms(begin, end).SetBondDir(directions[wedge])
    positions_xy = Chem.Conformer(molecule.GetNumAtoms())
    for index, (x, y) in enumerate(zip(layout.atom_x.tolist(), layout.atom_y.tolist(), strict=True)):
        positions_xy.SetAtomPosition(index, (x, -y, 0.0))
    molecule.AddConformer(positions_xy)
    Chem.SanitizeMol(molecule)
    Chem.AssignChiralTypesFromBondDirs(molecule)
    Chem.AssignStereochemistry(molecule, cleanIt=True, force=True)
    return molecule


def stereo_layers(inchi: str) -> set[str]:
    """The layers of an InChI that say which configuration each centre has."""
    return {layer for layer in inchi.split("/")[1:] if layer.startswith(("t", "m", "s"))}
