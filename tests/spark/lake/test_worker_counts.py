"""Rows counted by the workers that do them: `pytest tests/spark/lake/test_worker_counts.py`."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
from pyspark.sql import SparkSession

from lib.lake.worker_counts import WorkerCounter, counted_by_workers


class FigureOfALine:
    """In place of a line of progress: the figures that it would have shown."""

    def __init__(self, total: int, on_move: Callable[[], None] = lambda: None) -> None:
        self.total, self.on_move = total, on_move
        self.figures: list[float] = []

    def update(self, done: float) -> None:
        is_moved = bool(self.figures) and self.figures[-1] < done < self.total
        self.figures.append(done)
        if is_moved:
            self.on_move()


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
    # No task ends before this file is there, and it is made when the line has moved.
    line = FigureOfALine(16, on_move=(tmp_path / "seen").touch)
    with counted_by_workers(spark, line, 10, 6) as counter:
        run_slowly(spark, 6, 2, counter, tmp_path / "seen")
    assert line.figures == sorted(line.figures)
    assert line.figures[-1] == 16
    assert set(line.figures) & set(range(11, 16))


def test_datagrams_of_others_count_nothing(spark: SparkSession) -> None:
    line = FigureOfALine(100)
    with counted_by_workers(spark, line, 0, 100) as counter, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for message in (b"", b"x" * 24, b"x" * 5000):
            other.sendto(message, counter._address)
        time.sleep(1.5)
    assert set(line.figures[:-1]) == {0}
    assert line.figures[-1] == 100


def test_where_nobody_listens_work_goes_on(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "seen").touch()
    run_slowly(spark, 3, 1, WorkerCounter("no such host.invalid", 9, bytes(16)), tmp_path / "seen")
