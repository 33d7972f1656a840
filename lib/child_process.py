"""Runs a job in a child process that never outlives its parent."""

import ctypes
import logging
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from lib.errors import TrainingFailedError
from lib.job_log import streams_of_child

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1  # prctl(2)
END_WITHIN_S = 20.0  # what a child gets to tidy up before it is told to end less kindly


def run_child(task: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Run a task's command and wait for it; whatever ends the wait ends the child too.

    `environment` replaces this process's own variables.
    Raises TrainingFailedError if its exit status is not 0.
    """
    stdout, stderr = streams_of_child()
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment, preexec_fn=_end_with_parent
    )
    try:
        status = child.wait()
    except BaseException as stop:
        # A terminal's Ctrl-C reaches the child too, and a second signal would disturb it while it tidies up.
        is_told = isinstance(stop, KeyboardInterrupt)
        for tell in (child.poll if is_told else child.terminate, child.terminate, child.kill):
            tell()
            with suppress(subprocess.TimeoutExpired, KeyboardInterrupt, SystemExit):
                child.wait(END_WITHIN_S)
        raise
    if status:
        raise TrainingFailedError(
            f"{task} ended with exit status {status}: fix the error shown above, then start it again "
            f"(run_pipeline goes on from it with --from {task})"
        )


def _end_with_parent() -> None:
    """Ask the kernel to end this process in order when its parent dies, even of SIGKILL; Linux alone can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end_in_order_on_sigterm() -> None:
    """Let SIGTERM end this process as an error would, so that sessions and children are closed on the way.

    Told again (by a scheduler, and by make, which passes on what it was told), it goes on closing: a second error would
    leave half of it undone, and processes waiting for each other.
    """

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, lambda *_: None)  # not SIG_IGN, which children would inherit
        logger.error("stopped by a signal; run the same command again to continue")
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
