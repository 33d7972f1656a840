"""A search over a few tiny networks, one of which cannot be trained: `pytest tests/ray/test_tune_captioner.py`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SMALL

OVERRIDES = [
    *SMALL,
    "landing.path=unused",
    "drawing.num_drawings=120",
    "training.max_gradient_norm=1.0e+38",
    "training.seed=0",
    "training.precision=fp32",
    "search.num_trials=3",
    "search.seconds_per_trial=1.5",
    "search.batch_size=[8]",
    "search.width=[16, 32]",
    "search.learning_rate=[1.0e-3, 1.0e+38]",  # which gives 0.05, 0.005 and 1e23, too much
]
ROW = re.compile(r"\| (\S+) \| (\d+) \| (\d+) \| (\S*) \| (\S*) \| (\S*) \| (\S*) \| (.*) \|")


def search(root: Path) -> subprocess.CompletedProcess[str]:
    sets = [word for override in (*OVERRIDES, f"storage.root={root}") for word in ("--set", override)]
    return subprocess.run(
        [sys.executable, "-m", "jobs.tune_captioner", *sets], capture_output=True, text=True, timeout=400
    )


@pytest.mark.slow
def test_a_search_ranks_what_was_learned_and_shows_what_failed_and_is_not_done_twice(tmp_path: Path) -> None:
    found = search(tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    first, second, failed = [ROW.fullmatch(line).groups() for line in found.stdout.splitlines()[2:] if line]
    assert [row[-1] for row in (first, second)] == ["done", "done"]
    assert 0 < float(first[3]) <= float(second[3])
    assert min(int(row[5]) for row in (first, second)) > 0  # images
    assert failed[3:7] == ("", "", "", "")
    assert failed[7].startswith("failed: ")
    assert "gradient norm" in failed[7]
    assert (tmp_path / "search" / "trials.md").read_text().strip() == found.stdout.strip()

    again = search(tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout == found.stdout
