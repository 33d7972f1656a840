"""A child process never outlives the one that started it, whoever is told to stop and however."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib.child_process import run_child
from lib.errors import TrainingFailedError

# Says that it runs, then ends as its argument says once it is told to.
CHILD = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def stop(*_):
    (folder / "told").write_text("SIGTERM")
    if sys.argv[2] == "obeys":
        sys.exit(0)
signal.signal(signal.SIGTERM, stop)
(folder / "process_id").write_text(str(__import__("os").getpid()))
for _ in range(600):
    time.sleep(0.1)
"""

# Runs that child as a job would; whoever started the tests may have had Ctrl-C ignored.
PIPELINE = """
import signal, sys
from lib import child_process
signal.signal(signal.SIGINT, signal.default_int_handler)
child_process.END_WITHIN_S = 2.0
child_process.end_in_order_on_sigterm()
child_process.run_child("train_captioner", [sys.executable, "-c", *sys.argv[1:]])
"""

# Takes a second to tidy up.
JOB = """
import pathlib, sys, time
from lib.child_process import end_in_order_on_sigterm
folder = pathlib.Path(sys.argv[1])
end_in_order_on_sigterm()
try:
    (folder / "working").write_text("yes")
    time.sleep(60)
finally:
    (folder / "tidying").write_text("yes")
    time.sleep(1)
    (folder / "tidied").write_text("yes")
"""


def test_a_child_that_ends_well_lets_the_pipeline_go_on() -> None:
    run_child("train_captioner", [sys.executable, "-c", ""])


def test_a_child_may_be_given_variables_of_its_own() -> None:
    check = "import os; raise SystemExit(os.environ.get('SPARK_HOME') != 'elsewhere')"
    run_child("train_captioner", [sys.executable, "-c", check], {"SPARK_HOME": "elsewhere"})


def test_a_child_that_fails_stops_the_pipeline_with_one_sentence() -> None:
    with pytest.raises(TrainingFailedError, match=r"^train_captioner ended with exit status 3: .* --from train_c"):
        run_child("train_captioner", [sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.parametrize("how_it_ends", ["obeys", "does not listen"])
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)])
def test_the_child_ends_with_the_pipeline(how_it_ends: str, sent: signal.Signals, status: int, tmp_path: Path) -> None:
    pipeline = subprocess.Popen([sys.executable, "-c", PIPELINE, CHILD, str(tmp_path), how_it_ends])
    process_id = int(wait_for(tmp_path / "process_id"))
    pipeline.send_signal(sent)
    assert pipeline.wait(60) == status
    assert (tmp_path / "told").read_text() == "SIGTERM"
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)


def test_a_job_told_twice_to_stop_still_tidies_up(tmp_path: Path) -> None:
    job = subprocess.Popen([sys.executable, "-c", JOB, str(tmp_path)])
    wait_for(tmp_path / "working")
    job.send_signal(signal.SIGTERM)
    wait_for(tmp_path / "tidying")
    job.send_signal(signal.SIGTERM)
    assert job.wait(60) == 128 + signal.SIGTERM
    assert (tmp_path / "tidied").is_file()


def wait_for(path: Path) -> str:
    for _ in range(600):
        if path.is_file() and (text := path.read_text()):
            return text
        time.sleep(0.1)
    raise AssertionError(f"{path} was not written in a minute")
