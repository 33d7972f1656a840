"""Training on two Horovod workers, beside the same on Ray Train: `pytest -m slow tests/ray/test_horovod.py`."""

import importlib.util
import shutil
from pathlib import Path

import pytest
from conftest import Run
from deltalake import DeltaTable, QueryBuilder

TOLERANCE = 0.005  # relative: both average the same gradients in fp32, in another order of adding
SAME = ("training.seed=23", "training.precision=fp32", "captioner.dropout=0")


def losses_with(train_with: str, finished: Run, folder: Path) -> list[float]:
    """Training losses of the steps, then validation losses of the epochs, of a training in a copy of the lake."""
    run = Run(folder / train_with)
    shutil.copytree(finished.root, run.root)
    before = DeltaTable(str(run.root / "training_metrics")).version()
    trained = run.run("train_captioner", f"cluster.train_with={train_with}", *SAME)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    table = DeltaTable(str(run.root / "training_metrics"))
    assert table.version() > before
    version = (run.root / "checkpoints" / "current_model").read_text().strip()
    rows = (
        QueryBuilder()
        .register("t", table)
        .execute(f"select train_loss, validation_loss from t where run_id = '{version}' order by epoch, step")
        .read_all()
    )
    columns = {name: rows[name].to_pylist() for name in ("train_loss", "validation_loss")}
    return [loss for name in columns for loss in columns[name] if loss is not None]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="Horovod is not installed: make horovod")
def test_horovod_takes_the_steps_that_ray_train_takes(finished: Run, tmp_path: Path) -> None:
    with_ray, with_horovod = (losses_with(name, finished, tmp_path) for name in ("ray", "horovod"))
    assert len(with_ray) >= 8
    assert with_ray[0] > 2
    assert with_horovod == pytest.approx(with_ray, rel=TOLERANCE)


@pytest.mark.skipif(importlib.util.find_spec("horovod") is not None, reason="Horovod is installed")
def test_without_horovod_the_job_says_how_to_get_it(tmp_path: Path) -> None:
    refused = Run(tmp_path).run("train_captioner", "cluster.train_with=horovod")
    assert refused.returncode == 2
    assert "horovod, which is not installed: run `make horovod`" in refused.stderr.splitlines()[-1]
