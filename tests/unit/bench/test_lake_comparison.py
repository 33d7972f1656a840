"""Two lakes compared without Spark: `pytest tests/unit/bench/test_lake_comparison.py`."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from bench.lake_comparison import Differences, compare_lakes, make_old, unnamed_files

ROWS = [{"notation": "inchi", "token": token, "token_id": i, "num_uses": 1} for i, token in enumerate("abc")]


def write(lake: Path, rows: list[dict[str, Any]]) -> Path:
    """A vocabulary in as many commits as there are rows, each with the time of now."""
    for row in rows:
        at = pa.array([datetime.now(UTC)], pa.timestamp("us", "UTC"))
        table = pa.Table.from_pylist([row]).append_column("built_at", at)
        write_deltalake(str(lake / "vocabulary"), table, mode="append")
    return lake


@pytest.fixture
def expected(tmp_path: Path) -> Path:
    return write(tmp_path / "expected", ROWS)


@pytest.mark.parametrize(
    ("rows", "differences"),
    [
        (ROWS[::-1], Differences()),
        (ROWS[1:], Differences(lost=1)),
        ([*ROWS, ROWS[0]], Differences(doubled=1)),
        ([ROWS[0] | {"num_uses": 2}, *ROWS[1:]], Differences(different=1)),
        ([*ROWS, ROWS[0] | {"token": "d"}], Differences(different=1)),
        ([], Differences(lost=3)),
    ],
    ids=[
        "the same in another order and at other times",
        "lost",
        "doubled",
        "other contents",
        "another key",
        "no table",
    ],
)
def test_rows_that_are_lost_doubled_or_different_are_counted_and_times_are_not(
    tmp_path: Path, expected: Path, rows: list[dict[str, Any]], differences: Differences
) -> None:
    assert compare_lakes(write(tmp_path / "made", rows), expected) == differences


def test_files_that_no_commit_names_are_found_and_those_of_old_versions_are_not(expected: Path) -> None:
    write_deltalake(
        str(expected / "vocabulary"), pa.Table.from_pylist(ROWS[:1]), mode="overwrite", schema_mode="overwrite"
    )
    assert unnamed_files(expected) == set()
    left = ["vocabulary/part-0.parquet", "staged/1/part-0.parquet", "vocabulary/_delta_log/.x.json.tmp"]
    for name in left:
        (expected / name).parent.mkdir(parents=True, exist_ok=True)
        (expected / name).touch()
    (expected / "logs").mkdir()
    (expected / "logs" / "job.log").touch()
    assert unnamed_files(expected) == set(left)


def test_all_but_logs_of_tables_are_dated_back(expected: Path) -> None:
    make_old(expected)
    ages = {path.parent.name: time.time() - os.stat(path).st_mtime for path in expected.rglob("*") if path.is_file()}
    assert ages["vocabulary"] > 30 * 86_400 > ages["_delta_log"]
