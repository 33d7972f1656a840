"""Jobs as processes of their own, killed with all that they have started, and what they said until they ended."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

import psutil

ROOT = Path(__file__).parents[1]
END_WITHIN_S = 900.0
SHORT_RUN = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"  # Java's second compiler costs more than it saves in a minute
TRACEBACK = "Traceback (most recent call last)"


class Ended(NamedTuple):
    """How a run ended: its exit status, below 0 if a signal ended it, and what the terminal showed."""

    status: int
    seconds: float
    said: str

    @property
    def has_traceback(self) -> bool:
        return TRACEBACK in self.said


class RunningJob:
    """A job in a session of its own, so that all that it starts can be found again."""

    def __init__(self, job: str, overrides: Iterable[str]) -> None:
        self.job = job
        self._terminal: IO[str] = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115, read after the end
        self._started = time.monotonic()
        settings = [word for override in overrides for word in ("--set", override)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"jobs.{job}", *settings],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._terminal,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={"SPARK_SUBMIT_OPTS": SHORT_RUN} | os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def wait(self, timeout_s: float = END_WITHIN_S) -> Ended:
        """Wait for the end; what ends the wait kills the job. Raises subprocess.TimeoutExpired if it takes longer."""
        try:
            status = self._process.wait(timeout_s)
        except BaseException:
            self.kill()
            raise
        self._terminal.seek(0)
        return Ended(status, time.monotonic() - self._started, self._terminal.read())

    def kill_at(self, seconds: float) -> Ended:
        """Kill it and all its processes so many seconds after its start, unless it has ended before."""
        try:
            return self.wait(max(0.0, self._started + seconds - time.monotonic()))
        except subprocess.TimeoutExpired:
            return self.wait()

    def kill(self) -> None:
        """SIGKILL to all that it has started. Spark's Python workers have a process group of their own."""
        while processes := self.processes():
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.poll()

    def processes(self) -> list[psutil.Process]:
        """All living processes of its session and below it, itself included."""
        below = set()
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self._process.pid)
            below = {process.pid for process in (first, *first.children(recursive=True))}
        return [process for process in psutil.process_iter() if self._is_ours(process, below)]

    def _is_ours(self, process: psutil.Process, below: set[int]) -> bool:
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            is_ours = process.pid in below or os.getsid(process.pid) == self._process.pid
            return is_ours and process.status() != psutil.STATUS_ZOMBIE
        return False


def run_job(job: str, overrides: Iterable[str]) -> Ended:
    """Run a job to its end."""
    return RunningJob(job, overrides).wait()
