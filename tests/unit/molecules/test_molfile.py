"""Captions as molfiles mean the same molecule to every program that opens them."""

import pytest
from rdkit import Chem

from lib.errors import NotationError
from lib.molecules.molfile import molfile_as_drawn
from lib.molecules.smiles import inchi_of_smiles

CAPTIONS = [
    "InChI=1S/C3H6O3/c1-2(4)3(5)6/h2,4H,1H3,(H,5,6)/t2-/m0/s1",  # drawn with the hydrogen of its centre
    "InChI=1S/C4H8/c1-3-4-2/h3-4H,1-2H3/b4-3+",
    "InChI=1S/C8H8N4O3/c9-8(13)11-10-5-6-1-3-7(4-2-6)12(14)15/h1-5H,(H3,9,11,13)",  # a double bond of no known side
    "InChI=1S/CH4O/c1-2/h2H,1H3/i2D",
    "InChI=1S/H2O/h1H2",
    "InChI=1S/C5H11NO2/c1-6(2,3)4-5(7)8/h4H2,1-3H3/p+1",
]


@pytest.mark.parametrize("caption", CAPTIONS)
def test_a_molfile_is_the_caption_to_rdkit_and_to_indigo(caption: str) -> None:
    molfile = molfile_as_drawn(caption)
    assert Chem.MolToInchi(Chem.MolFromMolBlock(molfile)) == caption
    indigo = pytest.importorskip("indigo")
    smiles = indigo.Indigo().loadMolecule(molfile).smiles()  # as Ketcher writes it
    assert inchi_of_smiles(smiles.split(" ")[0]) == caption


def test_what_is_no_molecule_has_no_molfile() -> None:
    with pytest.raises(NotationError):
        molfile_as_drawn("no molecule")
