"""A thousand hostile files, each with its right outcome, in a process of its own: `pytest -m slow
tests/slow/test_hostile_files.py`."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable

from bench.hostile_captions import hostile_captions
from bench.hostile_files import hostile_files, wrong_outcomes
from bench.hostile_outcomes import caption_outcomes, image_outcomes, write_hostile_files, wrong_in_lake
from bench.killed_jobs import run_job
from bench.lakeless_settings import lakeless_settings
from lib.lake.schemas import REJECTION_REASONS
from lib.landing.archives import HIDDEN_MEMBERS, OTHER_MEMBERS, list_arrivals
from lib.landing.zone import list_landing_zone
from lib.settings import load_settings

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
MAX_BYTES_PER_PIXEL = 25  # of cleaning.max_pixels, beyond what the process had before


def main(folder: Path) -> None:
    """Print how many files there were, what is wrong, and by how many bytes the process has grown."""
    settings = lakeless_settings()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    num_files, wrong = 0, []
    for files, outcomes in ((hostile_files(), image_outcomes), (hostile_captions(), caption_outcomes)):
        for file in files:
            num_files += 1
            wrong += wrong_outcomes(file, outcomes(file, folder, settings))
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    most = MAX_BYTES_PER_PIXEL * settings.cleaning.max_pixels
    print(json.dumps({"num_files": num_files, "wrong": wrong, "growth": growth, "most": most}))


def test_a_thousand_hostile_files_end_as_they_should_in_bounded_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.slow.test_hostile_files", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr[-3000:]
    result = json.loads(ended.stdout.splitlines()[-1])
    assert result["wrong"] == []
    assert result["num_files"] >= 1000
    assert result["growth"] < result["most"]


def test_hostile_files_go_through_the_jobs_and_a_second_run_commits_nothing(tmp_path: Path) -> None:
    files = list(hostile_files())[::6]
    landing, lake = tmp_path / "landing", tmp_path / "lake"
    write_hostile_files(landing, files)
    overrides = [f"landing.path={landing}", f"storage.root={lake}", "spark.driver_memory=2g"]

    def run_jobs() -> list[Path]:
        """The commits that the lake has after both jobs."""
        for job in ("ingest_images", "clean_images"):
            ended = run_job(job, overrides)
            assert ended.status == 0, ended.said[-3000:]
        return sorted(lake.glob("*/_delta_log/*.json"))

    commits = run_jobs()
    assert len(files) > 140
    assert wrong_in_lake(lake, files) == []
    raw, clean = (sorted(row["image_id"] for row in rows_of(lake / name)) for name in ("images_raw", "images_clean"))
    rejected = rows_of(lake / "images_rejected")
    assert {row["reason"] for row in rejected} <= REJECTION_REASONS.keys()
    assert sorted([*clean, *(row["image_id"] for row in rejected if row["stage"] == "clean")]) == raw
    settings = load_settings("molecules", "local", overrides).landing
    zone = list_landing_zone(settings)
    listed = [one for file in zone.images + zone.archives for one in list_arrivals(file, settings)] + zone.rejected
    arrived = {(one.image_id, one.source) for one in listed if one.reason not in (HIDDEN_MEMBERS, OTHER_MEMBERS)}
    assert len(raw) + sum(row["stage"] == "ingest" for row in rejected) == len(arrived)
    assert run_jobs() == commits


def rows_of(table: Path) -> list[dict[str, str]]:
    columns = {"image_id", "stage", "reason"} & set(DeltaTable(str(table)).to_pyarrow_dataset().schema.names)
    return DeltaTable(str(table)).to_pyarrow_table(columns=sorted(columns)).to_pylist()  # type: ignore[no-any-return]


def test_a_wrong_a_lost_and_a_doubled_outcome_are_seen() -> None:
    file = next(file for file in hostile_files() if file.name == "whole-zip.zip")
    right = [(image_id, "read") for image_id in file.outcomes]
    assert wrong_outcomes(file, right) == []
    assert wrong_outcomes(file, right[1:]) == ["whole-zip.zip: 'whole-zip-0' is lost"]
    assert wrong_outcomes(file, [*right, right[0]]) == ["whole-zip.zip: 'whole-zip-0' is there 2 times"]
    assert wrong_outcomes(file, [(right[0][0], "blank_image"), *right[1:]]) == [
        "whole-zip.zip: 'whole-zip-0' blank_image, not read"
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
