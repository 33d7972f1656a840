"""Output of a job: progress goes to the terminal; settings, versions and third-party logs go to a file.

Java and Ray write to the standard output and error that they inherit, so both are exchanged at the level of file
descriptors. What this process prints is an answer, and stays where it was.
"""

import logging
import os
import sys
from collections import deque
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TextIO

ON_DATABRICKS = "DATABRICKS_RUNTIME_VERSION" in os.environ
OURS = ("__main__", "jobs", "lib", "model")  # loggers that speak to people
STDOUT, STDERR = 1, 2  # file descriptors
LAST_LINES = 20
PACKAGES = ("captionlake", "pyspark", "delta-spark", "ray", "raydp", "torch", "numpy", "rdkit")

_terminal: TextIO | None = None  # what standard error was, once it goes to the file
_path: Path | None = None


class BlockFormatter(logging.Formatter):
    """A message without time and name; a task's first, `[1/7] ingest_images`, begins a block."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.levelno > logging.INFO:
            return text
        return f"\n{text}" if text.startswith("[") else f"  {text}"


def start_logging() -> None:
    """Log to standard error, one line per message, with the time and the logger's name."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S"
    )
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)


def send_rest_to_file(root: str, job: str) -> None:
    """From here on show what our own loggers say and what is printed; all else goes to a file of `root`/logs.

    Nothing changes on Databricks, whose driver log is what people read, where standard output or error was exchanged
    before (in a notebook or a test), and where no file can be written.
    """
    global _terminal, _path
    if ON_DATABRICKS or _terminal is not None or not _are_streams_its_own():
        return
    path = Path(root) / "logs" / f"{job}-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        logging.getLogger(__name__).warning("no log file: %s", error)
        return
    sys.stderr.flush()
    sys.stdout.flush()
    _terminal, _path = os.fdopen(os.dup(STDERR), "w", buffering=1, errors="replace"), path
    sys.stdout = os.fdopen(os.dup(STDOUT), "w", buffering=1, errors="replace")
    for descriptor in (STDOUT, STDERR):
        os.dup2(file, descriptor)
    os.close(file)
    handler = logging.StreamHandler(_terminal)
    handler.setFormatter(BlockFormatter())
    for name in OURS:
        logging.getLogger(name).addHandler(handler)
    print(f"{job}: log in {path}", file=_terminal)


def log_details(settings: str) -> None:
    """Log settings and versions: to the file if there is one."""
    logger = logging.getLogger("details")  # none of OURS
    logger.setLevel(logging.INFO)
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    logger.info("python %s, %s", sys.version.split()[0], versions)
    logger.info("settings\n%s", settings)


def terminal() -> TextIO:
    """The stream that people see: the terminal."""
    return _terminal or sys.stderr


def streams_of_child() -> tuple[TextIO | None, TextIO | None]:
    """Standard output and error for a child that is a job; None for what it inherits anyway."""
    return (None, None) if _terminal is None else (sys.stdout, _terminal)


def file_in_use() -> Path | None:
    """The log file; None if everything goes to standard error."""
    return _path


def show_last_lines() -> None:
    """Show on the terminal how the log file ends."""
    if _path is None:
        return
    sys.stderr.flush()
    with _path.open(errors="replace") as file:
        last = deque(file, LAST_LINES)
    print(f"the last lines of {_path}:", *(f"  {line.rstrip()}" for line in last), sep="\n", file=_terminal)


def _are_streams_its_own() -> bool:
    """Whether Python's standard streams are those that the process was started with."""
    pairs = ((sys.stdout, sys.__stdout__, STDOUT), (sys.stderr, sys.__stderr__, STDERR))
    return all(now is first and first is not None and first.fileno() == number for now, first, number in pairs)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
