"""What `make bench-quality` measures, and on which drawings: `pytest tests/unit/bench/test_quality_bench.py`."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from bench.quality import Drawn, by_confidence, by_heavy_atoms, controls, measure, scores, unseen_drawings
from lib.captioning.caption_choice import PredictedCaption
from lib.molecules import drawing_batches
from lib.settings import Settings, load_settings
from tests.unit.tiny_captioner import smiles_checkpoint

ETHANOL, METHANOL = "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3", "InChI=1S/CH4O/c1-2/h2H,1H3"


def settings(tmp_path: Path, *overrides: str) -> Settings:
    paths = [f"{key}={tmp_path}" for key in ("landing.path", "storage.root")]
    return load_settings("molecules", "local", [*paths, "drawing.num_processes=1", *overrides])


def test_only_molecules_that_are_kept_from_training_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some.smi").write_text("CCCCO\nCCCCN\nCCCCS\nCCCCCN\nCCCCF\n")
    monkeypatch.setattr(drawing_batches, "is_unseen", lambda inchi: "N" in inchi.split("/")[1])
    drawn = list(unseen_drawings(settings(tmp_path, f"drawing.smiles_file={tmp_path}/some.smi")))
    assert sorted(one.inchi.split("/")[1] for one in drawn) == ["C4H11N", "C5H13N"]
    assert sorted(one.num_atoms for one in drawn) == [5, 6]


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
    drawings = [Drawn(str(place), ETHANOL, np.zeros((1, 1)), 3 if place < 10 else 40) for place in range(20)]
    predicted = [
        PredictedCaption(ETHANOL if place < 15 else METHANOL, 0.9 if place < 15 else 0.1, True, [])
        for place in range(20)
    ]
    sizes = by_heavy_atoms(predicted, drawings)
    assert {size: (row["count"], row["exact"]) for size, row in sizes.items()} == {
        "0 to 14": (10, 1.0), "35 to 60": (10, 0.5),
    }
    tenths = by_confidence(predicted, drawings)
    assert [row["exact"] for row in tenths] == [0, 0, 0.5] + [1] * 7
    assert tenths[0]["confidence"] == pytest.approx(0.1)


def test_every_way_of_reading_is_measured(tmp_path: Path) -> None:
    few = ["prediction.num_beams=2", "prediction.turns_deg=[0]", "prediction.scales=[1.0]"]
    asked = settings(tmp_path, *few, "drawing.recombined_share=1")
    drawings = list(islice(unseen_drawings(asked), 3))
    found = measure(drawings, asked, smiles_checkpoint(tmp_path / "model"))
    for name in ("greedy", "beam", "beam, read once", "beam, votes"):
        assert found[name]["count"] == 3
        assert {"exact", "mean_edit_distance", "similarity", "valid", "controls"} <= found[name].keys()
    assert {"beam, the first, not cleaned", "beam, the first, turned by 180 degrees"} <= found.keys()
    assert found["controls"].keys() == {"constant_caption", "shuffled_pictures"}
    assert (found["molecules"], found["model"]) == ("RDKit's own", "model")
    assert sum(row["count"] for row in found["by_heavy_atoms"].values()) == 3
