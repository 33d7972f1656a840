"""One process at a time trains a model: `pytest tests/unit/training/test_training_alone.py`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lib.errors import ConcurrentWriteError
from lib.training.training_runs import TrainingRun, training_alone

TRAINS_UNTIL_KILLED = """
import sys
from pathlib import Path
from lib.training.training_runs import TrainingRun, training_alone
with training_alone(TrainingRun("m1", None, Path(sys.argv[1], "checkpoints/m1"), Path(sys.argv[1], "training/m1"))):
    print("trains", flush=True)
    sys.stdin.read()
"""


def test_a_second_training_of_one_model_is_refused_until_the_first_has_ended_or_was_killed(tmp_path: Path) -> None:
    no_data: Any = None
    run = TrainingRun("m1", no_data, tmp_path / "checkpoints/m1", tmp_path / "training/m1")
    other = TrainingRun("m2", no_data, tmp_path / "checkpoints/m2", tmp_path / "training/m2")
    command = [sys.executable, "-c", TRAINS_UNTIL_KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "trains\n"
        with pytest.raises(ConcurrentWriteError, match="model m1 is being trained by another process"):
            training_alone(run).__enter__()
        with training_alone(other):
            pass
        first.kill()
        first.wait()
    with training_alone(run):
        pass
    with training_alone(run):
        pass
