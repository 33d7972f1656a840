"""Two lakes compared without Spark: rows that are lost, doubled or different, and files that no table names."""

import json
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from lib.lake.schemas import TABLES, Table

LOG_FOLDER = "_delta_log"
LOG_FILE = re.compile(r"\d{20}\.(json|checkpoint.*\.parquet|crc)|_last_checkpoint|_last_vacuum_info")
# What no two trainings share: speed. What was trained twice after a kill may round differently.
NOT_COMPARED = {
    "training_metrics": {
        "images_per_second",
        "train_loss",
        "validation_loss",
        "validation_token_accuracy",
        "validation_edit_distance",
        "learning_rate",
    }
}
SIGNIFICANT_DIGITS = 5  # of floating point numbers: images are captioned in other company after a kill
OLD_DAYS = 400


class Differences(NamedTuple):
    """Rows, over all tables: keys that are missing, rows beyond one per key, and other contents or other keys."""

    lost: int = 0
    doubled: int = 0
    different: int = 0

    def plus(self, other: "Differences") -> "Differences":
        return Differences(*(ours + theirs for ours, theirs in zip(self, other, strict=True)))


def compare_lakes(made: Path, expected: Path) -> Differences:
    """All tables of two lakes, time stamps left out."""
    total = Differences()
    for table in TABLES.values():
        total = total.plus(compare_rows(rows_of(made, table), rows_of(expected, table)))
    return total


Rows = list[tuple[tuple[Any, ...], str]]  # key and contents


def compare_rows(made: Rows, expected: Rows) -> Differences:
    """Rows of one table; each key of `expected` stands there once."""
    num_made = Counter(key for key, _ in made)
    wanted = dict(expected)
    return Differences(
        lost=sum(key not in num_made for key in wanted),
        doubled=sum(number - 1 for number in num_made.values()) + len(expected) - len(wanted),
        different=sum(key not in wanted or wanted[key] != contents for key, contents in dict(made).items()),
    )


def rows_of(lake: Path, table: Table) -> Rows:
    """The rows of a table; none if it is not there."""
    if not (lake / table.name / LOG_FOLDER).is_dir():
        return []
    rows = DeltaTable(str(lake / table.name)).to_pyarrow_table()
    left_out = NOT_COMPARED.get(table.name, set())
    names = [
        field.name for field in rows.schema if not pa.types.is_timestamp(field.type) and field.name not in left_out
    ]
    return [
        (tuple(row[column] for column in table.key), repr({name: _rounded(row[name]) for name in names}))
        for row in rows.select(names).to_pylist()
    ]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.{SIGNIFICANT_DIGITS}g}"
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return {name: _rounded(one) for name, one in value.items()} if isinstance(value, dict) else value


def unnamed_files(lake: Path) -> set[str]:
    """Files, relative to the lake, that no version of a table names; logs of jobs are left out."""
    found = set()
    named = {name for table in TABLES for name in _named_files(lake, table)}
    for path in lake.rglob("*"):
        relative = path.relative_to(lake)
        if not path.is_file() or relative.parts[0] == "logs":
            continue
        name = relative.name
        if name.startswith(".") and name.endswith(".crc"):  # Hadoop's checksum of the file beside it
            name = name[1:].removesuffix(".crc")
        is_log = relative.parent.name == LOG_FOLDER and LOG_FILE.fullmatch(name)
        if not is_log and relative.with_name(name).as_posix() not in named:
            found.add(relative.as_posix())
    return found


def _named_files(lake: Path, table: str) -> set[str]:
    """Data files that any commit of a table has added or removed."""
    names = set()
    for commit in (lake / table / LOG_FOLDER).glob("*.json"):
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            change = action.get("add") or action.get("remove")
            if change:
                names.add(f"{table}/{unquote(change['path'])}")
    return names


def make_old(lake: Path) -> None:
    """Date all but the tables' commits long back, as if the kill had been long ago: upkeep spares what is young."""
    then = time.time() - OLD_DAYS * 86_400
    for path in lake.rglob("*"):
        if LOG_FOLDER not in path.parts or ".tmp" in path.name:
            os.utime(path, (then, then))
