"""Jobs killed with all their processes, on full disks, twice at once: `pytest -m slow tests/slow/test_faults.py`.

A sample of `make bench-faults`, minutes long.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from deltalake import DeltaTable

from bench.faults import stages
from bench.job_faults import REFUSED, Outcome, Stage, killed, on_a_bad_disk, two_at_once
from bench.killed_jobs import RunningJob, run_job
from bench.lake_comparison import Differences, compare_lakes
from bench.small_disks import NoMountError

pytestmark = pytest.mark.slow
NUM_DRAWINGS = 40


@pytest.fixture(scope="module")
def cleaning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """clean_images on a lake with drawings."""
    (stage,) = stages(["clean_images"], NUM_DRAWINGS, tmp_path_factory.mktemp("faults"))
    yield stage
    shutil.rmtree(stage.work.parent)


def assert_clean(outcome: Outcome) -> None:
    assert outcome.is_clean, outcome


def test_a_job_killed_with_all_its_processes_and_run_again_leaves_the_tables_of_an_undisturbed_run(
    cleaning: Stage,
) -> None:
    outcome = killed(cleaning, "killed", num_seeds=2)
    assert outcome.kills >= 1
    assert_clean(outcome)


def test_two_runs_at_once_leave_the_tables_of_one(cleaning: Stage) -> None:
    assert_clean(two_at_once(cleaning))


@pytest.mark.parametrize("variant", ["full_disk", "read_only"])
def test_a_bad_disk_is_said_in_a_sentence_and_when_it_is_mended_nothing_is_lost(cleaning: Stage, variant: str) -> None:
    try:
        outcome = on_a_bad_disk(cleaning, variant, full_at=[0.3])
    except NoMountError as error:
        pytest.skip(str(error))
    assert_clean(outcome)
    assert any("StorageError" in said for said in outcome.said)


def test_a_job_whose_executor_is_killed_finishes_with_the_same_tables(cleaning: Stage) -> None:
    lake = cleaning.copy("executors")
    job = RunningJob("clean_images", [*cleaning.overrides(lake), "spark.master=local-cluster[2,1,1024]"])
    try:
        process_called(job, "CoarseGrainedExecutorBackend", with_child="pyspark.daemon").kill()
        ended = job.wait()
    finally:
        job.kill()
    assert ended.status == 0, ended.said
    assert compare_lakes(lake, cleaning.undisturbed[0]) == Differences()


def test_a_training_whose_worker_is_killed_says_so_and_the_next_run_resumes_without_a_gap_in_its_steps(
    tmp_path: Path,
) -> None:
    (stage,) = stages(["train_captioner"], NUM_DRAWINGS * 5, tmp_path, ["training.num_epochs=6"])
    lake = stage.copy("worker")
    job = RunningJob("train_captioner", stage.overrides(lake))
    try:
        wait_for(lambda: next((lake / "training").glob("*/latest/provenance.json"), None))
        process_called(job, "ray::RayTrainWorker").kill()
        ended = job.wait()
    finally:
        job.kill()
    assert ended.status == REFUSED, ended.said
    (provenance,) = (lake / "training").glob("*/latest/provenance.json")
    assert json.loads(provenance.read_text())["steps"] >= 2
    again = run_job("train_captioner", stage.overrides(lake))
    assert again.status == 0, again.said
    rows = DeltaTable(str(lake / "training_metrics")).to_pyarrow_table().to_pylist()
    steps = sorted(row["step"] for row in rows if row["train_loss"] is not None)
    assert steps == list(range(1, steps[-1] + 1))


T = TypeVar("T")


def wait_for(find: Callable[[], T | None]) -> T:
    """What `find` finds, once it does."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if (found := find()) is not None:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"{find} found nothing")


def process_called(job: RunningJob, words: str, with_child: str = "") -> psutil.Process:
    """A process of the job whose command line has these words, and that has such a child."""

    def find() -> psutil.Process | None:
        for process in job.processes():
            with suppress(psutil.NoSuchProcess):
                children = [" ".join(child.cmdline()) for child in process.children()]
                if words in " ".join(process.cmdline()) and (
                    not with_child or any(with_child in child for child in children)
                ):
                    return process
        return None

    return wait_for(find)
