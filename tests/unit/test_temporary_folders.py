"""Temporary folders short enough for sockets: `pytest tests/unit/test_temporary_folders.py`."""

import os
import subprocess
import sys
from pathlib import Path

from lib.temporary_folders import MAX_BYTES

STARTS_A_SOCKET = """
import sys, tempfile
from multiprocessing.connection import Listener
from lib.job_entry import exit_with_one_sentence, start_process
start_process()
def work():
    with Listener(family="AF_UNIX") as listener:
        print(tempfile.gettempdir(), listener.address)
exit_with_one_sentence(work)
"""


def start_with(folder: Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"TMPDIR": str(folder)}
    return subprocess.run([sys.executable, "-c", STARTS_A_SOCKET], env=environment, capture_output=True, text=True)


def test_a_job_starts_where_the_temporary_folder_has_a_path_too_long_for_sockets(tmp_path: Path) -> None:
    run = start_with(tmp_path / ("x" * 100))
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("/tmp /tmp/")
    assert "is too long for sockets" in run.stderr


def test_a_short_temporary_folder_is_kept(tmp_path: Path) -> None:
    link = Path("/tmp") / f"short-{os.getpid()}"
    assert len(os.fsencode(link)) <= MAX_BYTES
    link.symlink_to(tmp_path)
    try:
        run = start_with(link)
    finally:
        link.unlink()
    assert run.stdout.startswith(f"{link} {link}/"), run.stderr
