"""Copies of folders from one file system to another that are whole or not there."""

import shutil
from pathlib import Path


def copy_whole(source: Path, target: Path) -> None:
    """Put a copy of `source`, if there is one, in the place of `target`, which is never a half copied one.

    May be killed at any instant and repeated, in either direction: renaming within a file system is all that makes a
    folder.
    """
    for folder in (source, target):
        if _beside(folder, "replaced").exists() and not folder.exists():  # killed between the two renames below
            _beside(folder, "replaced").rename(folder)
    if not source.is_dir():
        return
    arriving, replaced = _beside(target, "arriving"), _beside(target, "replaced")
    for leftover in (arriving, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(source, arriving)
    if target.exists():
        target.rename(replaced)
    arriving.rename(target)
    shutil.rmtree(replaced, ignore_errors=True)


def _beside(folder: Path, state: str) -> Path:
    return folder.with_name(f".{folder.name}.{state}")
