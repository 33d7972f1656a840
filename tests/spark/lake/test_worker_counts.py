"""Rows counted by the workers that do them: `pytest tests/spark/lake/test_worker_counts.py`."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from pyspark.sql import SparkSession

from lib.lake.worker_counts import WorkerCounter, counted_by_workers
from lib.progress import show_progress


def run_slowly(spark: SparkSession, num_rows: int, num_tasks: int, counter: WorkerCounter, step: Path) -> None:
    """A job whose tasks count a row, then wait until the driver has seen so (or five seconds)."""

    def work(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            for _ in range(len(batch)):
                counter.add()
                waited_until = time.monotonic() + 5
                while not step.exists() and time.monotonic() < waited_until:
                    time.sleep(0.01)
            yield batch

    spark.range(num_rows).repartition(num_tasks).mapInPandas(work, "id long").count()


def test_counts_are_seen_while_tasks_run_and_end_at_the_total(spark: SparkSession, tmp_path: Path) -> None:
    seen: list[int] = []
    with show_progress("count", 16) as line:
        update = line.update

        def remember(done: float) -> None:
            seen.append(int(done))
            update(done)
            if 10 < done < 16:  # no task has ended yet: each waits for this file
                (tmp_path / "seen").touch()

        line.update = remember
        with counted_by_workers(spark, line, 10, 6) as counter:
            run_slowly(spark, 6, 2, counter, tmp_path / "seen")
    assert seen == sorted(seen)
    assert seen[-1] == 16
    assert set(seen) & set(range(11, 16))


def test_datagrams_of_others_count_nothing(spark: SparkSession) -> None:
    seen: list[float] = []
    with show_progress("count", 100) as line:
        line.update = seen.append
        with (
            counted_by_workers(spark, line, 0, 100) as counter,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        ):
            for message in (b"", b"x" * 24, b"x" * 5000):
                other.sendto(message, counter._address)
            time.sleep(1.5)
    assert set(seen[:-1]) == {0}
    assert seen[-1] == 100


def test_where_nobody_listens_work_goes_on(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "seen").touch()
    run_slowly(spark, 3, 1, WorkerCounter("no such host.invalid", 9, bytes(16)), tmp_path / "seen")
