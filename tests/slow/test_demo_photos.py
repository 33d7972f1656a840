"""`make demo-photos`: free photographs captioned, and drawn scenes learned better than by any control."""

import subprocess
from pathlib import Path

import pytest

from bench.free_photographs import PACKAGES
from lib.lake.delta_tables import Lake
from lib.sections.lake import StorageSettings
from model.checkpoint import PRETRAINED

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not (PRETRAINED / "photos").is_dir(), reason="no pretrained model for photographs"),
]


def test_the_demo_captions_photographs_and_beats_all_controls_on_scenes(spark, tmp_path: Path) -> None:
    subprocess.run(["make", "demo-photos", f"LAKE={tmp_path}"], cwd=ROOT, check=True)

    def lake(name: str) -> Lake:
        return Lake(spark, StorageSettings(root=str(tmp_path / name), catalog=None, schema_name=None))

    captions = [row.caption for row in lake("photographs").read("caption_predictions").collect()]
    assert len(captions) == 1 + sum(map(len, PACKAGES.values()))
    assert all(captions)
    evaluations = lake("scenes").read("evaluations").where("split = 'test'").collect()
    cider = {row.predictor: row.cider for row in evaluations}
    assert cider.keys() == {"model", "constant_caption", "shuffled_pictures", "nearest_neighbour"}
    assert cider["model"] == max(cider.values())
