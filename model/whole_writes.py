"""Atomic writes: files and folders are written beside their path, then renamed.

Killed at any instant, a write leaves what was there or what is new. A folder cannot be replaced in one stroke: between
two renames what was there lies beside its place, where `find_whole` sees it.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield where to make the file that, when the block ends without an error, takes the place of `path`.

    Two processes may write the same file at a time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    written = _beside(path, f"{os.getpid()}.written")
    try:
        yield written
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Yield where to make the folder that, when the block ends without an error, takes the place of `path`.

    One process at a time may write a folder. What killed ones have left is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    restore(path)
    written, replaced = _beside(path, "written"), _beside(path, "replaced")
    for leftover in (written, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    yield written
    if path.exists():
        path.rename(replaced)
    written.rename(path)
    shutil.rmtree(replaced, ignore_errors=True)


def find_whole(path: Path) -> Path | None:
    """Where the folder is: in its place, or beside it while it is replaced; None if it is not there."""
    return next((place for place in (path, _beside(path, "replaced")) if place.is_dir()), None)


def restore(path: Path) -> None:
    """Put a folder back in its place if whoever replaced it was killed between the two renames."""
    if not path.exists() and (there := find_whole(path)) is not None:
        there.rename(path)


def _beside(path: Path, state: str) -> Path:
    return path.with_name(f".{path.name}.{state}")
