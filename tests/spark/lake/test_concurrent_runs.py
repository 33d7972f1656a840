"""Several runs that write one table at a time: `pytest tests/spark/lake/test_concurrent_runs.py`."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from delta.exceptions import ConcurrentAppendException
from pyspark.sql import DataFrame

from lib.errors import ConcurrentWriteError
from lib.lake import commits
from lib.lake.delta_tables import Lake, committed
from lib.lake.schemas import CAPTIONS

THEN = datetime(2026, 1, 2, tzinfo=UTC)
NUM_ROWS = 200


def captions(lake: Lake, run: int) -> DataFrame:
    ids = [f"image{number}" for number in range(NUM_ROWS)]
    rows = [(image_id, 0, f"by run {run}", "file.csv", "train", THEN, 1, image_id) for image_id in ids]
    return lake.spark.createDataFrame(rows, CAPTIONS.schema)


def at_once(*runs: Callable[[], object]) -> None:
    with ThreadPoolExecutor(len(runs)) as pool:
        for run in [pool.submit(run) for run in runs]:
            run.result()


def test_runs_that_make_and_replace_the_same_rows_at_once_leave_one_row_per_key_of_one_run(lake, caplog):
    caplog.set_level("INFO")
    at_once(*(lambda run=run: lake.upsert("captions", captions(lake, run)) for run in range(3)))
    rows = lake.read("captions").collect()
    assert len({row.image_id for row in rows}) == len(rows) == NUM_ROWS
    assert len({row.caption for row in rows}) == 1  # a run's rows are one commit
    assert "captions: another writer committed at the same time" in caplog.text


def test_a_table_is_made_where_a_run_was_killed_before_its_first_commit(lake):
    (Path(lake.storage.root) / "captions" / "_delta_log").mkdir(parents=True)
    at_once(*(lambda run=run: lake.upsert("captions", captions(lake, run)) for run in range(2)))
    assert lake.read("captions").count() == NUM_ROWS
    described = lake.spark.sql(f"describe detail delta.`{lake.storage.root}/captions`").first()
    assert described.description == CAPTIONS.comment
    assert lake.read("captions").schema == CAPTIONS.schema


@pytest.mark.slow
def test_files_are_joined_while_rows_are_replaced(lake):
    for run in range(3):
        lake.upsert("captions", captions(lake, run))

    def replace() -> None:
        for run in range(3, 7):
            lake.upsert("captions", captions(lake, run))

    def compact() -> None:
        for _ in range(4):
            lake.compact("captions")

    at_once(replace, compact)
    rows = lake.read("captions").collect()
    assert {row.image_id: row.caption for row in rows} == {f"image{n}": "by run 6" for n in range(NUM_ROWS)}
    assert len(rows) == NUM_ROWS


def test_whole_tables_are_replaced_at_once(lake):
    at_once(*(lambda run=run: lake.replace("captions", captions(lake, run)) for run in range(3)))
    rows = lake.read("captions").collect()
    assert len(rows) == NUM_ROWS
    assert len({row.caption for row in rows}) == 1


def test_a_write_that_meets_another_each_time_ends_in_a_sentence(monkeypatch):
    monkeypatch.setattr(commits, "MAX_PAUSE_S", 0.0)
    tries = []

    def meet() -> None:
        tries.append(1)
        raise ConcurrentAppendException("rows were added", "", None)

    with pytest.raises(ConcurrentWriteError, match="table captions was changed by others 20 times"):
        committed("captions", meet)
    assert len(tries) == 20
