"""Two Horovod workers without Ray, and building Horovod: `pytest tests/unit/training/test_horovod_parallel.py`."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lib.training.horovod_training import HorovodGroup, _all_reduce
from model.training_loop import TrainingState, ignore_step, make_optimizer, train_epoch, validate
from model.workers import connect, over_all_workers
from tests.unit.tiny_captioner import quick_training, stroke_batch, tiny_captioner

ROOT = Path(__file__).resolve().parents[3]


def train_one_of_two(folder: str) -> None:
    import horovod.torch as hvd

    hvd.init()
    connect(_all_reduce)
    group = HorovodGroup()
    captioner = tiny_captioner(seed=group.rank, num_cell_labels=0)
    model = group.wrap(captioner)
    # One worker has fewer batches, and clocks differ.
    batches = [stroke_batch(8, seed=10 * group.rank + index) for index in range(3 + 2 * group.rank)]
    state, config = TrainingState(seconds=400.0 * group.rank), quick_training(max_train_seconds=1000.0)
    train_epoch(model, batches, make_optimizer(model, config), config, state, 3, ignore_step)
    loss = validate(captioner, [stroke_batch(8, seed=99)], "fp32")["loss"]
    total = over_all_workers(torch.tensor([1.0 + group.rank]), "sum").item()
    saved = {"weights": captioner.state_dict(), "steps": state.step, "loss": loss, "total": total}
    torch.save(saved, Path(folder) / f"{group.rank}.pt")
    hvd.shutdown()


@pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="Horovod is not installed: make horovod")
def test_workers_with_uneven_batches_stop_together_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from horovod.runner import run

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    run(train_one_of_two, args=(str(tmp_path),), num_proc=2, use_gloo=True)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert first["steps"] == second["steps"] == 3
    assert first["total"] == second["total"] == 3
    untrained = tiny_captioner(seed=0, num_cell_labels=0).state_dict()
    for name, _ in tiny_captioner(num_cell_labels=0).named_parameters():
        assert torch.equal(first["weights"][name], second["weights"][name]), name
        assert not torch.equal(first["weights"][name], untrained[name]), name


def test_without_a_compiler_the_build_says_what_it_needs() -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "lib.training.horovod_build"],
        cwd=ROOT,
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("Horovod is built from source, which needs cmake, make, c++: install")
