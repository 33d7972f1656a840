"""Copies of folders from one file system to another that are whole or not there."""

import shutil
from pathlib import Path

from model.whole_writes import folder_written_whole, restore


def copy_whole(source: Path, target: Path) -> None:
    """Copy the folder `source`, if there is one, to `target`; `target` is never half copied.

    May be killed at any instant and repeated, in either direction.
    """
    for folder in (source, target):
        restore(folder)
    if source.is_dir():
        with folder_written_whole(target) as arriving:
            shutil.copytree(source, arriving)
