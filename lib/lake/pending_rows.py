"""The pending rows of a job: input rows without an outcome, one commit of the input at a time.

Nothing is remembered outside the tables, so a killed job goes on where its last commit ended, and a deleted table is
made again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pyspark.sql.functions as F
from pyspark.sql import DataFrame, SparkSession

from lib.lake.delta_tables import Lake
from lib.lake.worker_counts import WorkerCounter, counted_by_workers
from lib.progress import show_progress

ROWS_PER_TASK = 500  # a few seconds of work, so that progress moves and no core waits long for the last task


def num_tasks(spark: SparkSession, num_rows: int) -> int:
    """Into how many tasks a batch of images is split: enough for every core, and none of them long."""
    return max(2 * spark.sparkContext.defaultParallelism, -(-num_rows // ROWS_PER_TASK))


def commit_batches(
    lake: Lake,
    name: str,
    batches: Iterable[tuple[DataFrame, int]],
    total: int,
    commit: Callable[[DataFrame, int, WorkerCounter], None],
) -> None:
    """Commit batch by batch, each with its number of rows, while a line says how many of `total` rows are done."""
    num_done = 0
    with show_progress(name, total) as line:
        for batch, num_rows in batches:
            with lake.staging(), counted_by_workers(lake.spark, line, num_done, num_rows) as counter:
                commit(batch, num_rows, counter)
            num_done += num_rows


def batches_by_position(rows: DataFrame, total: int, size: int) -> Iterator[tuple[DataFrame, int]]:
    """Parts of `total` rows that are numbered from 0 by `position`, each of at most `size` rows, with their numbers."""
    for start in range(0, total, size):
        yield rows.where(F.col("position").between(start, start + size - 1)), min(size, total - start)


@dataclass(frozen=True)
class PendingRows:
    """Rows without an outcome, by the commit of the input that they came with."""

    rows: DataFrame
    committed_at: str  # the column of `rows` that is one value per commit
    commits: list[tuple[int, int]]  # (time in microseconds, number of pending rows), oldest first
    _ids: DataFrame  # image_id and time of each pending row, staged

    @property
    def num_rows(self) -> int:
        """Of all commits."""
        return sum(count for _, count in self.commits)

    def batches(self) -> Iterator[tuple[DataFrame, int]]:
        """Each commit's pending rows with their number; reads that commit's files and no others."""
        for time, num_rows in self.commits:
            is_of_commit = F.col(self.committed_at) == F.timestamp_micros(F.lit(time))
            ids = self._ids.where(F.col("time") == time).select("image_id")
            yield self.rows.where(is_of_commit).join(F.broadcast(ids), on="image_id", how="left_semi"), num_rows


def find_pending_rows(lake: Lake, rows: DataFrame, done: DataFrame, committed_at: str) -> PendingRows:
    """The rows whose image_id is not in `done`, found once; for use within the block of `lake.staging` it is called in.

    Found anew, they would be no longer pending whenever Spark reads a batch again after its outcome was written. Reads
    ids and times alone, no image.
    """
    # In microseconds, for a datetime would pass through the local clock, which repeats an hour a year.
    keys = rows.select("image_id", F.unix_micros(committed_at).alias("time"))
    ids = lake.stage(keys.join(done.select("image_id"), on="image_id", how="left_anti"))
    counts = ids.groupBy("time").count().orderBy("time").collect()
    return PendingRows(rows, committed_at, [(row["time"], row["count"]) for row in counts], ids)
