"""Computed rows, kept in files beside the tables until they are written to the tables.

Blocks of an executor end with it, and what they held would be computed anew, from tables that have changed, or not at
all. Files stay, whatever machine is lost.
"""

import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyspark.sql import DataFrame

FOLDER = "staged"  # of the storage root


@contextmanager
def staging_folder(root: str) -> Iterator[str]:
    """Name a folder of the root for staged rows, which is removed with all that lies in it when the block ends."""
    folder = f"{root}/{FOLDER}/{uuid.uuid4().hex}"
    try:
        yield folder
    finally:
        shutil.rmtree(_path(folder), ignore_errors=True)
        with suppress(OSError):  # other runs may have rows here
            _path(folder).parent.rmdir()


def staged(rows: DataFrame, folder: str) -> DataFrame:
    """Compute the rows, write them into the folder, and return them as they are read from there.

    A local session keeps them in its own process, three times as fast: it has no executor that could be lost alone.
    """
    if re.fullmatch(r"local(\[.*\])?", rows.sparkSession.sparkContext.master or ""):
        kept = rows.localCheckpoint()
        return kept.limit(0) if kept.isEmpty() else kept  # Spark plans nothing for what it knows to be empty
    return written(rows, f"{folder}/{uuid.uuid4().hex}")


def written(rows: DataFrame, path: str) -> DataFrame:
    """Write the rows as Parquet, and return them as they are read from there."""
    rows.write.option("compression", "none").parquet(path)  # images are packed already
    reader = rows.sparkSession.read.schema(rows.schema).option("__globPaths__", "false")  # [ and * are characters
    return reader.parquet(path)


def remove_stale(root: str, retain_hours: int) -> int:
    """Remove what killed runs have left and no run of the last `retain_hours` can need; the number of folders."""
    oldest = time.time() - retain_hours * 3600
    stale = [folder for folder in _path(f"{root}/{FOLDER}").glob("*") if _is_older(folder, oldest)]
    for folder in stale:
        shutil.rmtree(folder, ignore_errors=True)
    return len(stale)


def remove_unfinished_commits(table: str, retain_hours: int) -> int:
    """Remove commits that killed runs have begun to write to a table's log and not named; the number of files.

    VACUUM leaves the log alone. Nothing reads these, whose names begin with a dot.
    """
    oldest = time.time() - retain_hours * 3600
    log = _path(table) / "_delta_log"
    unfinished = [file for pattern in (".*.tmp", ".*.tmp.crc") for file in log.glob(pattern)]
    stale = [file for file in unfinished if _is_older(file, oldest)]
    for file in stale:
        file.unlink(missing_ok=True)
    return len(stale)


def _is_older(path: Path, time_s: float) -> bool:
    """Whether it is there, untouched since that time; a run that goes on may just have removed it."""
    try:
        return path.stat().st_mtime < time_s
    except FileNotFoundError:
        return False


def _path(folder: str) -> Path:
    return Path(folder.removeprefix("file:"))
