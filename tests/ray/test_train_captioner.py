"""Training on two Ray workers, killed, broken and repeated: `pytest tests/ray/test_train_captioner.py`."""

import json
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from conftest import Run
from deltalake import DeltaTable, QueryBuilder


def processes_of(driver_pid: int) -> list[str]:
    """Ray's and RayDP's processes of that driver that live; Ray writes the driver's id into its session's name."""
    listing = subprocess.run(["ps", "-eo", "pid,stat,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if f"_{driver_pid}/" in line and " Z" not in line]


def wait_until(is_true, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if is_true():
            return True
        time.sleep(0.2)
    return is_true()


def run_folders(run: Run) -> list[Path]:
    return list((run.root / "training").glob("*"))


def test_a_killed_run_leaves_no_process_and_is_resumed_from_its_last_checkpoint(finished, tmp_path):
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
    resumed = finished.run("train_captioner", *more)
    assert resumed.returncode == 0, resumed.stderr
    assert not folder.exists()
    table = DeltaTable(str(finished.root / "training_metrics"))
    rows = QueryBuilder().register("t", table).execute(
        f"select step, reported_at from t where run_id = '{folder.name}' and train_loss is not null order by step"
    ).read_all()
    steps = [step.as_py() for step in rows["step"]]
    assert len(steps) == len(set(steps))
    assert steps[0] == 1
    times = dict(zip(steps, (time.as_py() for time in rows["reported_at"]), strict=True))
    assert all(time < resumed_at for step, time in times.items() if step <= steps_before)
    assert times[steps[-1]] > resumed_at
    provenance = (finished.root / "checkpoints" / folder.name / "provenance.json").read_text()
    assert steps[-1] == json.loads(provenance)["steps"]


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
