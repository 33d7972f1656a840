"""A thousand hostile files, each with its right outcome, in a process of its own: `pytest -m slow
tests/slow/test_hostile_files.py`."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from bench.hostile_captions import hostile_captions
from bench.hostile_files import hostile_files, wrong_outcomes
from bench.hostile_outcomes import caption_outcomes, image_outcomes
from lib.settings import load_settings

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES_PER_PIXEL = 25  # of cleaning.max_pixels, beyond what the process had before


def main(folder: Path) -> None:
    """Print how many files there were, what is wrong, and by how many bytes the process has grown."""
    settings = load_settings("molecules", "local", ["landing.path=unused", "storage.root=unused"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    num_files, wrong = 0, []
    for files, outcomes in ((hostile_files(), image_outcomes), (hostile_captions(), caption_outcomes)):
        for file in files:
            num_files += 1
            wrong += wrong_outcomes(file, outcomes(file, folder, settings))
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    most = MOST_BYTES_PER_PIXEL * settings.cleaning.max_pixels
    print(json.dumps({"num_files": num_files, "wrong": wrong, "growth": growth, "most": most}))


def test_a_thousand_hostile_files_end_as_they_should_in_bounded_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.slow.test_hostile_files", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr[-3000:]
    result = json.loads(ended.stdout.splitlines()[-1])
    assert result["wrong"] == []
    assert result["num_files"] >= 1000
    assert result["growth"] < result["most"]


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
