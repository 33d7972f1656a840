"""What a job has still to do: the rows of its input without an outcome yet, one commit of the input at a time.

Nothing is remembered outside the tables, so a killed job goes on where its last commit ended, and a deleted table is
made again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyspark.sql.functions as F
from pyspark.sql import DataFrame, SparkSession

ROWS_PER_TASK = 500  # a few seconds of work, so that progress moves and no core waits long for the last task


def num_tasks(spark: SparkSession, num_rows: int) -> int:
    """Into how many tasks a batch of images is split: enough for every core, and none of them long."""
    return max(2 * spark.sparkContext.defaultParallelism, -(-num_rows // ROWS_PER_TASK))


@dataclass(frozen=True)
class PendingRows:
    """Rows of `rows` whose image_id is not in `done`; `committed_at` names the column that is one value per commit."""

    rows: DataFrame
    done: DataFrame
    committed_at: str

    def commits(self) -> list[tuple[int, int]]:
        """(commit time, number of rows pending) of each commit with something pending, oldest first.

        The time is in microseconds, for a datetime would pass through the local clock, which repeats an hour a year.
        Reads ids and times alone, no image.
        """
        time = F.unix_micros(self.committed_at).alias("time")
        counts = self._pending_ids().groupBy(time).count().orderBy("time")
        return [(row["time"], row["count"]) for row in counts.collect()]

    def batches(self) -> Iterator[tuple[DataFrame, int]]:
        """Each commit's pending rows with their number; reads that commit's files and no others.

        The ids are fetched first: left in the query plan, they would be found anew, and no longer pending, whenever
        Spark reads a batch again after its outcome was written.
        """
        spark = self.rows.sparkSession
        for committed_at, num_rows in self.commits():
            is_of_commit = F.col(self.committed_at) == F.timestamp_micros(F.lit(committed_at))
            pending = self._pending_ids().where(is_of_commit).select("image_id").collect()
            ids = spark.createDataFrame(pending, "image_id string")
            yield self.rows.where(is_of_commit).join(F.broadcast(ids), on="image_id", how="left_semi"), num_rows

    def _pending_ids(self) -> DataFrame:
        keys = self.rows.select("image_id", self.committed_at)
        return keys.join(self.done.select("image_id"), on="image_id", how="left_anti")
