"""What `make bench-quality` measures, and on which drawings: `pytest tests/unit/bench/test_quality_bench.py`."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from rdkit import Chem

from bench.quality import by_confidence, by_heavy_atoms, controls, measure, scores, without_stereo
from bench.quality_sets import DRAWERS, Sample, drawn_samples, plain_samples, scanned_samples
from lib.captioning.caption_choice import PredictedCaption
from lib.errors import SettingsError
from lib.molecules.sources import is_unseen
from lib.settings import Settings, load_settings
from tests.known_molecules import ETHANOL
from tests.unit.tiny_captioner import smiles_checkpoint

METHANOL = "InChI=1S/CH4O/c1-2/h2H,1H3"


def settings(tmp_path: Path, *overrides: str) -> Settings:
    paths = [f"{key}={tmp_path}" for key in ("landing.path", "storage.root")]
    return load_settings("molecules", "local", [*paths, "drawing.num_processes=1", *overrides])


def test_only_molecules_that_are_kept_from_training_are_read_each_once(tmp_path: Path) -> None:
    sides = range(1, 9)
    smiles = ["C" * before + middle + "C" * after for before in sides for middle in "NOS" for after in sides]
    (tmp_path / "some.smi").write_text("\n".join(smiles))
    asked = settings(tmp_path, f"drawing.smiles_file={tmp_path}/some.smi", "drawing.noise=0")
    for drawer in DRAWERS.values():
        drawn = list(drawn_samples(asked, drawer))
        kept = {inchi for text in smiles if is_unseen(inchi := Chem.MolToInchi(Chem.MolFromSmiles(text)))}
        assert 0 < len(kept) < 20
        assert sorted(one.inchi for one in drawn) == sorted(kept)


def test_plain_drawings_are_in_colour_and_show_the_stereo_that_their_captions_name(tmp_path: Path) -> None:
    alanine, mirrored = "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"
    chains = [f"{'C' * length}{text}" for length in range(40) for text in (alanine, mirrored)]
    (tmp_path / "some.smi").write_text("\n".join(chains))
    drawn = list(plain_samples(settings(tmp_path, f"drawing.smiles_file={tmp_path}/some.smi")))
    assert drawn
    for one in drawn:
        pixels = cv2.imdecode(np.frombuffer(one.image, np.uint8), cv2.IMREAD_COLOR).astype(int)
        assert pixels.shape == (300, 300, 3)
        assert (np.ptp(pixels, axis=2) > 100).any()
        assert one.has_stereo
        assert is_unseen(one.inchi)


def test_scans_are_those_that_labels_name(tmp_path: Path) -> None:
    pixels = cv2.imencode(".png", np.full((9, 9), 255, np.uint8))[1].tobytes()
    for name in ("one", "two"):
        (tmp_path / f"{name}.png").write_bytes(pixels)
    (tmp_path / "labels.csv").write_text(f'image_id,InChI\ntwo,"{ETHANOL}"\nthree,{METHANOL}\n')
    assert scanned_samples(tmp_path) == [Sample("two", ETHANOL, pixels)]
    with pytest.raises(SettingsError, match=r"has no labels\.csv"):
        scanned_samples(tmp_path / "..")


def test_scores_are_of_each_caption_with_its_own_reference() -> None:
    found = scores([ETHANOL, METHANOL], [ETHANOL, ETHANOL])
    assert found["exact"] == 0.5
    assert found["mean_edit_distance"] == pytest.approx(8 / 2)
    assert found["similarity"] == pytest.approx(1 - 8 / len(ETHANOL) / 2)
    assert found["edit_distance_percentiles"]["95"] == pytest.approx(0.95 * 8)
    blind = controls([ETHANOL, METHANOL], [ETHANOL, METHANOL])
    assert blind["shuffled_pictures"]["exact"] == 0
    assert blind["constant_caption"]["exact"] == 0.5


def test_scores_are_told_apart_by_size_and_by_confidence() -> None:
    large = Chem.MolToInchi(Chem.MolFromSmiles("C" * 40))
    drawings = [Sample(str(index), ETHANOL if index < 10 else large, b"") for index in range(20)]
    predicted = [
        PredictedCaption(one.inchi if index < 15 else METHANOL, 0.9 if index < 15 else 0.1, True, [])
        for index, one in enumerate(drawings)
    ]
    sizes = by_heavy_atoms(predicted, drawings)
    assert {size: (row["count"], row["exact"]) for size, row in sizes.items()} == {
        "0 to 14": (10, 1.0),
        "35 to 60": (10, 0.5),
    }
    tenths = by_confidence(predicted, drawings)
    assert [row["exact"] for row in tenths] == [0, 0, 0.5] + [1] * 7
    assert tenths[0]["confidence"] == pytest.approx(0.1)


def test_every_way_of_reading_is_measured(tmp_path: Path) -> None:
    few = ["prediction.num_beams=2", "prediction.turns_deg=[0]", "prediction.scales=[1.0]"]
    asked = settings(tmp_path, *few, "drawing.recombined_fraction=1")
    sets = {name: list(islice(drawn_samples(asked, DRAWERS[name]), 3)) for name in ("collection", "rdkit")}
    sets["rdkit"].append(Sample("blank", ETHANOL, cv2.imencode(".png", np.full((9, 9), 255, np.uint8))[1].tobytes()))
    found = measure(sets, asked, smiles_checkpoint(tmp_path / "model"))
    ways = ["collection: greedy", "collection: beam, read once", "collection: beam, votes", "collection", "rdkit"]
    assert list(found["sets"]) == ways
    for name, row in found["sets"].items():
        assert row["count"] == (4 if name == "rdkit" else 3)
        assert row["num_rejected"] == (name == "rdkit")
        assert {"exact", "exact_without_stereo", "mean_edit_distance", "valid", "by_confidence"} <= row.keys()
        assert row["controls"].keys() == {"constant_caption", "shuffled_pictures"}
    assert (found["molecules"], found["model"]) == ("RDKit's own", "model")
    assert sum(row["count"] for row in found["by_heavy_atoms"].values()) == 3


def test_layers_of_stereo_are_left_out_of_a_comparison() -> None:
    flat = "InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)"
    found = scores([flat], [f"{flat}/t2-/m0/s1"])
    assert (found["exact"], found["exact_without_stereo"]) == (0, 1)
    assert without_stereo(ETHANOL) == ETHANOL
