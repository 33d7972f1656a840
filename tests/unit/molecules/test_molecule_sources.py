"""Where molecules come from and which are drawn: `pytest tests/unit/molecules/test_molecule_sources.py`."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, rdBase

from lib.errors import SettingsError
from lib.molecules.sources import (
    label_molecule,
    parse_smiles,
    read_smiles_file,
    recombine,
    shipped_smiles,
    with_heavy_hydrogen,
    with_random_stereo,
)


def label(smiles: str, smallest: int = 4, largest: int = 60) -> str | None:
    with rdBase.BlockLogs():
        return label_molecule(parse_smiles(smiles), smallest, largest)


def test_rdkit_ships_thousands_of_molecules_and_nearly_all_can_be_read() -> None:
    smiles = shipped_smiles()
    assert len(smiles) > 10_000
    with rdBase.BlockLogs():
        unreadable = [text for text in smiles[::20] if parse_smiles(text) is None]
    assert len(unreadable) <= 2


def test_first_column_is_read_and_a_header_is_not(tmp_path: Path) -> None:
    path = tmp_path / "molecules.tsv"
    path.write_text("smiles\tsource\nCCO\tqed\n\nc1ccccc1 benzene\n")
    assert read_smiles_file(str(path)) == ["CCO", "c1ccccc1"]


def test_first_line_that_is_a_molecule_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "molecules.smi"
    path.write_text("CCO\nCCN\n")
    assert read_smiles_file(str(path)) == ["CCO", "CCN"]


def test_gzipped_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "molecules.smi.gz"
    path.write_bytes(gzip.compress(b"CCO\nCCN\n"))
    assert read_smiles_file(str(path)) == ["CCO", "CCN"]


def test_missing_file_is_one_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^drawing\.smiles_file .*absent\.smi cannot be read: .*No such file"):
        read_smiles_file(str(tmp_path / "absent.smi"))


@pytest.mark.parametrize("content", ["", "\n \n", "smiles\n"])
def test_file_without_molecules_is_one_error_that_names_the_setting(tmp_path: Path, content: str) -> None:
    path = tmp_path / "empty.smi"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"^drawing\.smiles_file .*empty\.smi is empty"):
        read_smiles_file(str(path))


@pytest.mark.parametrize("place", [20, -12])
def test_a_damaged_archive_is_one_error_that_names_the_setting(tmp_path: Path, place: int) -> None:
    packed = bytearray(gzip.compress(b"CCO\nCCN\nCCCl\nCC(=O)O\n" * 9, mtime=0))
    packed[place] ^= 0xFF
    (tmp_path / "molecules.smi.gz").write_bytes(packed)
    with pytest.raises(SettingsError, match=r"^drawing\.smiles_file .* cannot be read: [^\n]*$"):
        read_smiles_file(str(tmp_path / "molecules.smi.gz"))


def test_a_byte_order_mark_is_no_part_of_the_first_molecule(tmp_path: Path) -> None:
    (tmp_path / "molecules.smi").write_text("CCO\nCCN\n", encoding="utf-8-sig")
    assert read_smiles_file(str(tmp_path / "molecules.smi")) == ["CCO", "CCN"]


def test_text_named_gz_is_one_error_that_names_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "plain.smi.gz"
    path.write_text("CCO\n")
    with pytest.raises(SettingsError, match=r"^drawing\.smiles_file .* cannot be read: Not a gzipped file"):
        read_smiles_file(str(path))


@pytest.mark.parametrize(
    ("smiles", "why"),
    [
        ("CCO", "three atoms"),
        ("C" * 61, "61 atoms"),
        ("CCCCO.CCN", "two pieces"),
        ("CCC[Sn](C)(C)C", "an element that is not drawn"),
        ("CC[CH]CC", "a radical"),
    ],
)
def test_molecule_that_is_not_to_be_drawn_has_no_label(smiles: str, why: str) -> None:
    assert label(smiles) is None, why


def test_label_is_the_standard_inchi_of_the_molecule() -> None:
    assert label("CC(C)Cc1ccc(cc1)[C@H](C)C(=O)O") == (
        "InChI=1S/C13H18O2/c1-9(2)8-11-4-6-12(7-5-11)10(3)13(14)15/h4-7,9-10H,8H2,1-3H3,(H,14,15)/t10-/m0/s1"
    )


def test_label_comes_back_the_same_from_its_molecule() -> None:
    labels = [inchi for smiles in shipped_smiles()[:400] if (inchi := label(smiles))]
    assert len(labels) > 380
    with rdBase.BlockLogs():
        assert [Chem.MolToInchi(Chem.MolFromInchi(inchi)) for inchi in labels] == labels


def test_recombined_molecules_are_whole_new_and_the_same_for_the_same_seed() -> None:
    first, again = (recombine(200, np.random.default_rng(5)) for _ in range(2))
    smiles = [Chem.MolToSmiles(molecule) for molecule in first]
    assert smiles == [Chem.MolToSmiles(molecule) for molecule in again]
    assert len(set(smiles)) >= 190
    assert not any("*" in text or "." in text for text in smiles)
    with rdBase.BlockLogs():
        shipped = {Chem.CanonSmiles(text) for text in shipped_smiles()[::10] if parse_smiles(text)}
    assert len(set(smiles) - shipped) >= 190


def test_recombined_molecules_are_as_large_as_those_of_the_real_collection() -> None:
    sizes = [molecule.GetNumHeavyAtoms() for molecule in recombine(300, np.random.default_rng(0))]
    assert 22 < np.mean(sizes) < 28
    assert min(sizes) >= 4
    assert max(sizes) <= 80


def test_nearly_all_recombined_molecules_can_be_drawn() -> None:
    with rdBase.BlockLogs():
        labels = [label_molecule(molecule, 4, 60) for molecule in recombine(50, np.random.default_rng(0))]
    assert sum(inchi is not None for inchi in labels) >= 48


def test_random_stereo_gives_both_configurations() -> None:
    labels = set()
    for seed in range(12):
        labels.add(Chem.MolToInchi(with_random_stereo(parse_smiles("CC(F)C=CC"), np.random.default_rng(seed))))
    assert {inchi.split("/h")[1].split("/", 1)[1] for inchi in labels} == {
        "b4-3-/t5-/m0/s1",
        "b4-3-/t5-/m1/s1",
        "b4-3+/t5-/m0/s1",
        "b4-3+/t5-/m1/s1",
    }


def test_random_stereo_keeps_the_stereo_that_is_named() -> None:
    named = parse_smiles("C[C@H](F)/C=C/C")
    for seed in range(6):
        assert Chem.MolToSmiles(with_random_stereo(named, np.random.default_rng(seed))) == "C/C=C/[C@H](C)F"


def test_random_stereo_of_centres_alone_leaves_double_bonds_as_they_are() -> None:
    molecule = with_random_stereo(parse_smiles("CC(F)C=CC"), np.random.default_rng(0), centres_alone=True)
    assert Chem.MolToSmiles(molecule) in {"CC=C[C@H](C)F", "CC=C[C@@H](C)F"}


def test_random_stereo_leaves_bridged_molecules_alone() -> None:
    molecule = with_random_stereo(parse_smiles("CC1CC2CCC1C2"), np.random.default_rng(0))
    assert Chem.MolToSmiles(molecule) == "CC1CC2CCC1C2"


def test_most_of_those_recombined_have_a_place_for_stereo_and_some_have_none() -> None:
    has_place = [bool(Chem.FindPotentialStereo(molecule)) for molecule in recombine(300, np.random.default_rng(1))]
    assert 0.36 < np.mean(has_place) < 0.6  # a third without choosing


def test_heavy_hydrogen_takes_the_place_of_all_hydrogen_at_one_carbon() -> None:
    ethanol = parse_smiles("CCO")
    heavy = [with_heavy_hydrogen(ethanol, np.random.default_rng(seed)) for seed in range(60)]
    labels = {Chem.MolToInchi(molecule) for molecule in heavy}
    assert {label.split("/i")[1] for label in labels} == {"1D3", "2D2", "1T3", "2T2"}
    assert all(label.startswith("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3/i") for label in labels)


def test_a_molecule_without_hydrogen_at_a_carbon_stays_as_it_is() -> None:
    nitrile = with_heavy_hydrogen(parse_smiles("N#CC(=O)O"), np.random.default_rng(0))
    assert Chem.MolToSmiles(nitrile) == "N#CC(=O)O"


def test_heavy_hydrogen_can_be_drawn_and_labelled() -> None:
    rng = np.random.default_rng(0)
    for text in shipped_smiles()[:40]:
        molecule = parse_smiles(text)
        inchi = label_molecule(with_heavy_hydrogen(molecule, rng), 4, 60)
        assert inchi is None or "/i" in inchi
