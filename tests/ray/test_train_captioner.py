"""Training on two Ray workers, killed, broken and repeated: `pytest tests/ray/test_train_captioner.py`."""

import json
import os
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from conftest import Run
from deltalake import DeltaTable, QueryBuilder


def processes_of(driver_pid: int) -> list[str]:
    """Ray's and RayDP's processes of that driver that live.

    Ray writes the driver's id into its session's name, which they have in their arguments or, workers that took another
    title, in the name of the file that they print to.
    """
    alive = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments, printed_to = (process / "cmdline").read_text(), os.readlink(process / "fd" / "1")
        except OSError:  # it ended meanwhile, or is a zombie
            continue
        if f"_{driver_pid}/" in arguments + printed_to:
            alive.append(f"{process.name} {arguments}")
    return alive


def wait_until(is_true, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if is_true():
            return True
        time.sleep(0.2)
    return is_true()


def run_folders(run: Run) -> list[Path]:
    return list((run.root / "training").glob("*"))


def test_a_killed_run_leaves_no_process_and_one_worker_resumes_it_from_the_last_checkpoint_of_two(finished, tmp_path):
    more = ("training.seed=7", "training.checkpoint_interval_steps=2", "training.num_epochs=20")
    with (tmp_path / "killed.log").open("w") as log:
        killed = subprocess.Popen(finished.command("train_captioner", *more), stdout=log, stderr=log)
    assert wait_until(lambda: any((folder / "latest").is_dir() for folder in run_folders(finished)), 300)
    killed.kill()
    killed.wait()
    assert wait_until(lambda: not processes_of(killed.pid), 60), processes_of(killed.pid)
    (folder,) = run_folders(finished)
    steps_before = json.loads((folder / "latest" / "provenance.json").read_text())["steps"]
    assert steps_before >= 2

    resumed_at = datetime.now(UTC)
    resumed = finished.run("train_captioner", *more, "cluster.num_workers=1")
    assert resumed.returncode == 0, resumed.stderr
    assert not folder.exists()
    table = DeltaTable(str(finished.root / "training_metrics"))
    rows = pa.table(QueryBuilder().register("t", table).execute(
        f"select * from t where run_id = '{folder.name}' order by step, epoch"
    ).read_all()).to_pylist()
    steps = [row for row in rows if row["train_loss"] is not None]
    assert [row["step"] for row in steps] == list(range(1, steps[-1]["step"] + 1))
    for row in steps:
        is_from_before = row["step"] <= steps_before
        assert (row["reported_at"] < resumed_at) == is_from_before
        assert row["num_workers"] == (2 if is_from_before else 1)
    epochs = [row for row in rows if row["validation_loss"] is not None]
    assert [row["epoch"] for row in epochs] == list(range(1, 21))
    assert epochs[-1]["step"] == steps[-1]["step"]
    provenance = json.loads((finished.root / "checkpoints" / folder.name / "provenance.json").read_text())
    assert provenance["validation_edit_distance"] == min(row["validation_edit_distance"] for row in epochs)


def test_a_run_whose_workers_fail_says_why_in_one_sentence_and_leaves_no_process(finished):
    failing = subprocess.Popen(
        finished.command("train_captioner", "training.learning_rate=1.0e+38", "training.max_gradient_norm=1.0e+38"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    output = failing.communicate(timeout=400)[0]
    assert failing.returncode == 2, output
    assert "TrainingFailedError" in output
    assert "gradient norm" in output.splitlines()[-1]
    assert processes_of(failing.pid) == []


def test_training_before_anything_was_cleaned_names_the_job_to_run(tmp_path):
    early = Run(tmp_path).run("train_captioner")
    assert early.returncode == 2
    assert "run build_vocabulary first" in early.stderr.splitlines()[-1]
    assert "Traceback" not in early.stderr
