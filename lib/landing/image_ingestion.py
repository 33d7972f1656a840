"""Landing zone to images_raw: list what is new, then read it in commits of bounded size, many tasks at a time."""

import hashlib
import logging
from collections.abc import Iterator
from functools import partial

import pandas as pd
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame, Window

from lib.lake.delta_tables import Lake, commit_time
from lib.lake.pending_rows import num_tasks
from lib.lake.schemas import IMAGES_RAW, IMAGES_REJECTED
from lib.lake.worker_counts import WorkerCounter, counted_by_workers
from lib.landing.ledger import FILE_SCHEMA, remember_files, unread_files
from lib.landing.zone import PACKED_TAR, Arrival, LandedFile, LandingZone, list_arrivals, read_arrivals
from lib.progress import show_progress
from lib.sections.landing import LandingSettings

logger = logging.getLogger(__name__)

ARRIVAL_SCHEMA = T.StructType([
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
])
OUTCOME_SCHEMA = (
    "image_id string, source string, num_bytes long, sha256 string, image binary, reason string, detail string"
)
MAY_PASS_LATER = ("too_many_bytes", "decompression_bomb", "unreadable_member", "duplicate_image_id")
MAX_BYTES_PER_ARROW_BATCH = 32 * 2**20  # a batch handed from Python to Spark must stay far below Arrow's 2 GiB


def ingest_pictures(lake: Lake, zone: LandingZone, settings: LandingSettings) -> None:
    """Read the pictures that are not in the lake yet into images_raw, or into images_rejected with a reason."""
    archives = unread_files(lake, zone.archives)
    # Computed once, and cut off from the tables that change below: again, it would lack what was just taken in.
    listed = lake.stage(_list_files(lake, zone.pictures + archives, settings))
    arrivals = lake.stage(_new_arrivals(lake, listed))
    num_arrivals = arrivals.count()
    if num_arrivals:
        num_commits = -(-num_arrivals // settings.images_per_commit)
        with show_progress("ingest_images", num_arrivals) as line:
            for commit in range(num_commits):
                batch = arrivals.where(F.col("position").between(
                    commit * settings.images_per_commit, (commit + 1) * settings.images_per_commit - 1
                ))
                num_before = commit * settings.images_per_commit
                num_rows = min(settings.images_per_commit, num_arrivals - num_before)
                with lake.staging(), counted_by_workers(lake.spark, line, num_before, num_rows) as counter:
                    _commit_batch(lake, batch, num_rows, counter)
    unfinished = _paths_to_open_again(lake, listed, arrivals)
    remember_files(lake, [archive for archive in archives if archive.path not in unfinished])
    logger.info(
        "ingest_images: %d new pictures; %d archives opened of %d; %d other files passed over",
        num_arrivals, len(archives), len(zone.archives), zone.num_other,
    )


def _list_files(lake: Lake, files: list[LandedFile], settings: LandingSettings) -> DataFrame:
    """The arrivals in these files, as ARRIVAL_SCHEMA."""
    num_partitions = max(1, min(len(files), 4 * lake.spark.sparkContext.defaultParallelism))
    rows = lake.spark.createDataFrame(files, FILE_SCHEMA).repartition(num_partitions, "path")
    return rows.mapInPandas(partial(_list_batches, settings=settings), ARRIVAL_SCHEMA)


def _new_arrivals(lake: Lake, listed: DataFrame) -> DataFrame:
    """Arrivals whose source is in no table yet, duplicates marked, numbered by `position` in order of their place."""
    known = lake.read("images_raw").select("image_id", "source")
    marked = _mark_duplicates(listed.join(known.select("source"), on="source", how="left_anti"), known)
    refused = lake.read("images_rejected").where(F.col("stage") == "ingest").select("source", "reason")
    # Refused before and still for the same reason, or for one that a new listing cannot see.
    is_settled = (marked["source"] == refused["source"]) & (
        marked["reason"].eqNullSafe(refused["reason"]) | ~refused["reason"].isin(*MAY_PASS_LATER)
    )
    return marked.join(refused, on=is_settled, how="left_anti").withColumn(
        "position", F.row_number().over(Window.orderBy("path", "offset", "source")) - 1
    )


def _mark_duplicates(arrivals: DataFrame, known: DataFrame) -> DataFrame:
    """Give every readable arrival but the first of its image_id the reason duplicate_image_id."""
    order = Window.partitionBy("image_id", F.col("reason").isNull()).orderBy("source", "offset")
    known = known.withColumnRenamed("source", "known_source")
    taken = F.coalesce("known_source", F.when(F.row_number().over(order) > 1, F.first("source").over(order)))
    is_duplicate = F.col("reason").isNull() & taken.isNotNull()
    taken_by = F.concat(F.lit("the image_id is taken by "), taken)
    return (
        arrivals.join(known, on="image_id", how="left")
        .withColumns({
            "detail": F.when(is_duplicate, taken_by).otherwise(F.col("detail")),
            "reason": F.when(is_duplicate, "duplicate_image_id").otherwise(F.col("reason")),
        })
        .select(*ARRIVAL_SCHEMA.names)
    )


def _paths_to_open_again(lake: Lake, listed: DataFrame, arrivals: DataFrame) -> set[str]:
    """Archives that may give more next time: damaged ones, and those whose picture gave way to one that failed."""
    held = lake.read("images_raw").select("image_id")
    gave_way = arrivals.where(F.col("reason") == "duplicate_image_id").join(held, on="image_id", how="left_anti")
    damaged = listed.where(F.col("reason") == "unreadable_archive")
    return {row.path for row in gave_way.select("path").union(damaged.select("path")).distinct().collect()}


def _commit_batch(lake: Lake, arrivals: DataFrame, num_rows: int, counter: WorkerCounter) -> None:
    """Read one batch and commit it: first what is refused, then what is taken in; both may be repeated harmlessly."""
    now = F.lit(commit_time())
    # A packed tar is read from its beginning, so by one task; everything else from wherever a task's share begins.
    share = F.when(F.col("path").rlike(PACKED_TAR), 0).otherwise(F.col("offset"))
    outcomes = (
        arrivals.repartitionByRange(num_tasks(lake.spark, num_rows), "path", share)
        .sortWithinPartitions("path", "offset")
        .mapInPandas(partial(_read_batches, counter=counter), OUTCOME_SCHEMA)
        .transform(lake.stage)
    )
    has_refused = not outcomes.where(F.col("reason").isNotNull()).isEmpty()
    was_refused = not lake.read("images_rejected").where(F.col("stage") == "ingest").isEmpty()
    if has_refused or was_refused:
        rows = outcomes.orderBy(F.col("reason").isNull()).dropDuplicates(["image_id", "source"]).withColumns({
            "stage": F.lit("ingest"), "cleaning_version": F.lit(None).cast("string"), "rejected_at": now,
        })
        lake.upsert("images_rejected", rows.select(*IMAGES_REJECTED.schema.names), delete_when="new.reason is null")
    taken = outcomes.where(F.col("reason").isNull()).withColumn("ingested_at", now)
    lake.insert_new("images_raw", taken.select(*IMAGES_RAW.schema.names))


def _list_batches(files: Iterator[pd.DataFrame], settings: LandingSettings) -> Iterator[pd.DataFrame]:
    for batch in files:
        rows: list[Arrival] = []
        for path, num_bytes, modified_at in batch.itertuples(index=False):
            for arrival in list_arrivals(LandedFile(path, num_bytes, modified_at), settings):
                rows.append(arrival)
                if len(rows) == 10_000:
                    yield pd.DataFrame(rows, columns=ARRIVAL_SCHEMA.names)
                    rows = []
        yield pd.DataFrame(rows, columns=ARRIVAL_SCHEMA.names)


def _read_batches(arrivals: Iterator[pd.DataFrame], counter: WorkerCounter) -> Iterator[pd.DataFrame]:
    columns = ["image_id", "source", "num_bytes", "sha256", "image", "reason", "detail"]
    for batch in arrivals:
        listed = [Arrival(*row) for row in batch[ARRIVAL_SCHEMA.names].itertuples(index=False)]
        refused = [arrival for arrival in listed if isinstance(arrival.reason, str)]
        yield pd.DataFrame(
            [(a.image_id, a.source, a.num_bytes, None, None, a.reason, a.detail) for a in refused], columns=columns
        )
        rows, num_bytes = [], 0
        for arrival, content, reason, detail in read_arrivals(a for a in listed if not isinstance(a.reason, str)):
            digest = hashlib.sha256(content).hexdigest() if content is not None else None
            size = len(content) if content is not None else arrival.num_bytes
            rows.append((arrival.image_id, arrival.source, size, digest, content, reason, detail))
            num_bytes += size
            if num_bytes > MAX_BYTES_PER_ARROW_BATCH:
                counter.add(len(rows))
                yield pd.DataFrame(rows, columns=columns)
                rows, num_bytes = [], 0
        counter.add(len(refused) + len(rows))
        yield pd.DataFrame(rows, columns=columns)
