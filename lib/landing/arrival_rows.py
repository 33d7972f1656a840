"""Arrivals as rows of Spark, in the order in which tasks read them."""

from collections.abc import Iterable, Iterator

import pandas as pd
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lib.landing.zone import Arrival

ARRIVAL_SCHEMA = T.StructType(
    [
        T.StructField("image_id", T.StringType()),
        T.StructField("source", T.StringType()),
        T.StructField("path", T.StringType()),
        T.StructField("kind", T.StringType()),
        T.StructField("offset", T.LongType()),
        T.StructField("num_bytes", T.LongType()),
        T.StructField("num_packed_bytes", T.LongType()),
        T.StructField("compression", T.IntegerType()),
        T.StructField("checksum", T.LongType()),
        T.StructField("reason", T.StringType()),
        T.StructField("detail", T.StringType()),
        T.StructField("file_version", T.StringType()),
    ]
)


def in_reading_order(arrivals: DataFrame, num_partitions: int) -> DataFrame:
    """Arrivals in ranges by path and offset, sorted.

    A packed tar is read from its beginning, so by one task; all else from wherever a task's part begins.
    """
    part = F.when(F.col("kind") == "tar.gz", 0).otherwise(F.col("offset"))
    return arrivals.repartitionByRange(num_partitions, "path", part).sortWithinPartitions("path", "offset")


def arrivals_of(batches: Iterable[pd.DataFrame]) -> Iterator[Arrival]:
    """The rows of a task's batches, one after another, so that an archive stays open from batch to batch."""
    for batch in batches:
        for row in batch[ARRIVAL_SCHEMA.names].itertuples(index=False):
            arrival = Arrival(*row)
            yield arrival if isinstance(arrival.reason, str) else arrival._replace(reason=None, detail=None)
