"""Images whose file has changed since they were taken in: images_raw takes the new bytes under the same image_id."""

import logging
from functools import partial

import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame, Window

from lib.lake.delta_tables import Lake, commit_time
from lib.lake.pending_rows import batches_by_position, commit_batches, num_tasks
from lib.lake.schemas import IMAGES_RAW
from lib.lake.worker_counts import WorkerCounter
from lib.landing.arrival_rows import ARRIVAL_SCHEMA, in_reading_order
from lib.landing.image_reading import OUTCOME_SCHEMA, read_batches
from lib.sections.landing import LandingSettings

logger = logging.getLogger(__name__)


def is_changed() -> Column:
    """Whether an arrival is a readable file that images_raw has in another version."""
    # Rows of an older version of the project have no file_version: their size alone tells.
    has_version = F.coalesce(F.col("file_version") == F.col("known_version"), F.lit(True))
    is_same = (F.col("num_bytes") == F.col("known_bytes")) & has_version
    return F.col("known_id").isNotNull() & F.col("reason").isNull() & ~is_same


def replace_changed_images(lake: Lake, listed: DataFrame, settings: LandingSettings) -> None:
    """Read the files that are not as images_raw has them, in commits of bounded size.

    `listed` has arrivals with known_id, known_bytes and known_version, what images_raw has of their source.
    A file that was only copied again keeps its row, with the new file_version. One that cannot be read takes nothing
    back, for it may be half copied: it is read again whenever it is listed.
    """
    changed = lake.stage(_changed(listed))
    num_changed = changed.count()
    if not num_changed:
        return
    num_replaced = num_unread = 0

    def commit(batch: DataFrame, num_rows: int, counter: WorkerCounter) -> None:
        nonlocal num_replaced, num_unread
        arrivals = in_reading_order(batch.select(*ARRIVAL_SCHEMA.names), num_tasks(lake.spark, num_rows))
        outcomes = lake.stage(arrivals.mapInPandas(partial(read_batches, counter=counter), OUTCOME_SCHEMA))
        rows = lake.stage(_as_rows(outcomes.where(F.col("reason").isNull()), lake.read("images_raw")))
        if not rows.isEmpty():
            lake.upsert("images_raw", rows.drop("has_other_bytes"))
        num_replaced += rows.where("has_other_bytes").count()
        num_unread += num_rows - rows.count()

    batches = batches_by_position(changed, num_changed, settings.images_per_commit)
    commit_batches(lake, "ingest_images", batches, num_changed, commit)
    logger.info("%d images replaced by new versions of their files", num_replaced)
    if num_unread:
        logger.warning("%d new versions of files cannot be read: the old bytes are kept", num_unread)


def _changed(listed: DataFrame) -> DataFrame:
    """Arrivals whose source images_raw has in another version, with their image_id there, numbered by `position`.

    Of members of one archive with the same path the last is meant; if it cannot be read, the old bytes stay.
    """
    rank = F.row_number().over(Window.partitionBy("source").orderBy(F.desc("offset")))
    known = listed.where(F.col("known_id").isNotNull() & F.col("reason").isNull())
    changed = known.withColumn("rank", rank).where((F.col("rank") == 1) & is_changed())
    position = F.row_number().over(Window.orderBy("path", "offset")) - 1
    return changed.withColumn("image_id", F.col("known_id")).select(*ARRIVAL_SCHEMA.names, position.alias("position"))


def _as_rows(outcomes: DataFrame, raw: DataFrame) -> DataFrame:
    """Rows of images_raw, and `has_other_bytes`; what has the same bytes as before stays what it was."""
    kept = ("ingested_at", "is_replaced")
    before = raw.select("image_id", *(F.col(name).alias(f"old_{name}") for name in ("sha256", *kept)))
    is_other = F.col("sha256") != F.col("old_sha256")
    now = F.lit(commit_time())
    return outcomes.join(before, on="image_id", how="inner").select(
        *(name for name in IMAGES_RAW.schema.names if name not in kept),
        F.when(is_other, now).otherwise(F.col("old_ingested_at")).alias("ingested_at"),
        (is_other | F.coalesce("old_is_replaced", F.lit(False))).alias("is_replaced"),
        is_other.alias("has_other_bytes"),
    )
