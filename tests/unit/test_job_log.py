"""What a job shows and what it keeps in a file: `pytest tests/unit/test_job_log.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lib import job_log
from lib.job_log import send_rest_to_file

ROOT = Path(__file__).resolve().parents[2]
# A job that does what jobs do: it logs, a library warns, and its children write to the standard error they inherit.
JOB = """
import logging, os, subprocess, sys, warnings
from lib.child_process import run_child
from lib.errors import MissingInputError
from lib.job_entry import argument_parser, exit_with_one_sentence, settings_from, start_process
start_process()
arguments = argument_parser("tidy", "").parse_args(sys.argv[2:])
def work():
    settings_from(arguments)
    logging.getLogger("lib.tidy").info("[1/1] tidy")
    logging.getLogger("lib.tidy").info("tidy: 3 rooms")
    logging.getLogger("ray").warning("GcsClient has no Cluster ID")
    warnings.warn("parallelism is deprecated")
    subprocess.run([sys.executable, "-c", "import os; os.write(2, b'ERROR StatusConsoleListener')"])
    subprocess.run([sys.executable, "-c", "print('WARN SparkStringUtils')"])
    run_child("train", [sys.executable, "-c", "import sys; print('its answer'); print('a job', file=sys.stderr)"])
    print("an answer")
    if sys.argv[1] == "refuses":
        raise MissingInputError("there is no broom")
    if sys.argv[1] == "fails":
        raise KeyError("broom")
exit_with_one_sentence(work)
"""
HIDDEN = (
    "GcsClient",
    "parallelism is deprecated",
    "StatusConsoleListener",
    "SparkStringUtils",
    "max_pixels: 16000000",
    "pyspark ",
)


def run(root: Path, end: str = "ends", *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [end, "--set", f"storage.root={root}", *flags]
    return subprocess.run(
        [sys.executable, "-c", JOB, *words], cwd=ROOT, capture_output=True, text=True, env=os.environ | environment
    )


def log_of(root: Path) -> tuple[Path, str]:
    (path,) = (root / "logs").glob("tidy-*.log")
    return path, path.read_text()


def test_the_terminal_shows_what_was_done_and_the_file_has_everything(tmp_path: Path) -> None:
    ended = run(tmp_path)
    path, log = log_of(tmp_path)
    assert ended.returncode == 0
    assert ended.stdout == "its answer\nan answer\n"
    assert ended.stderr.splitlines() == [f"tidy: log in {path}", "", "[1/1] tidy", "  tidy: 3 rooms", "a job"]
    assert [said for said in (*HIDDEN, "tidy: 3 rooms") if said not in log] == []


def test_a_refusal_is_the_last_line_of_both(tmp_path: Path) -> None:
    ended = run(tmp_path, "refuses")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == "MissingInputError: there is no broom"
    assert log_of(tmp_path)[1].endswith("MissingInputError: there is no broom\n")


def test_a_failure_shows_the_last_lines_of_the_file(tmp_path: Path) -> None:
    ended = run(tmp_path, "fails")
    path, log = log_of(tmp_path)
    assert ended.returncode == 1
    assert "Traceback" in log
    assert f"the last lines of {path}:" in ended.stderr.splitlines()
    assert ended.stderr.splitlines()[-1] == "  KeyError: 'broom'"


@pytest.mark.parametrize(
    ("flags", "environment"),
    [(("--verbose",), {}), ((), {"DATABRICKS_RUNTIME_VERSION": "16.4"})],
    ids=["verbose", "on Databricks"],
)
def test_all_is_shown_when_asked_for_and_on_databricks(
    flags: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    ended = run(tmp_path, "fails", *flags, **environment)
    shown = ended.stdout + ended.stderr
    assert [said for said in (*HIDDEN, "Traceback", "lib.tidy: tidy: 3 rooms") if said not in shown] == []
    assert not (tmp_path / "logs").exists()


def test_where_no_file_can_be_written_all_is_shown(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    ended = run(tmp_path)
    assert ended.returncode == 0
    assert "no log file" in ended.stderr
    assert "GcsClient" in ended.stderr


def test_standard_error_that_was_exchanged_before_is_left_alone(tmp_path: Path) -> None:
    send_rest_to_file(str(tmp_path), "tidy")
    assert job_log.file_in_use() is None
    assert list(tmp_path.iterdir()) == []
