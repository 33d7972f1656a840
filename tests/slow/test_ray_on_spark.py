"""The route `databricks` on open-source Spark: Ray starts on its executors and trains a model there.

Left out by default, since it takes minutes: `pytest -m slow tests/slow/test_ray_on_spark.py`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def test_ray_starts_on_sparks_executors_trains_there_and_is_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.slow.train_on_spark", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=800)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-2:] == ["cores of the nodes [0, 2.0, 2.0]", "trained True rows True"]
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert [line for line in left.splitlines() if str(tmp_path) in line] == []
