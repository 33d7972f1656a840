"""Jobs killed with all their processes, on full disks, twice at once: `pytest -m slow tests/slow/test_faults.py`.

A sample of `make bench-faults`, minutes long.
"""

import os
import shutil
import time
from collections.abc import Iterator

import psutil
import pytest

from bench.faults import stages
from bench.job_faults import Outcome, Stage, killed, on_a_bad_disk, two_at_once
from bench.killed_jobs import RunningJob
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
        executor = first_executor(job)
        os.kill(executor, 9)
        ended = job.wait()
    finally:
        job.kill()
    assert ended.status == 0, ended.said
    assert compare_lakes(lake, cleaning.undisturbed[0]) == Differences()


def first_executor(job: RunningJob) -> int:
    """The Java process of an executor, once its Python worker is at work."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        for process in psutil.process_iter():
            try:
                is_executor = "CoarseGrainedExecutorBackend" in " ".join(process.cmdline())
                if (
                    is_executor
                    and process.pid in job.processes()
                    and any("pyspark.daemon" in " ".join(child.cmdline()) for child in process.children())
                ):
                    return process.pid
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.1)
    raise TimeoutError("no executor came up")
