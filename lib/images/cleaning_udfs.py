"""images_raw to images_clean: a thin shell of Spark around lib/images/cleaning.py."""

import logging
from collections.abc import Iterator
from functools import partial

import pandas as pd
import pyspark.sql.functions as F
from pyspark.sql import DataFrame

from lib.errors import CorruptImageError
from lib.fingerprints import fingerprint
from lib.images.cleaning import clean_image, encode_png
from lib.lake.delta_tables import Lake, commit_time
from lib.lake.image_versions import version_of_bytes
from lib.lake.pending_rows import PendingRows, commit_batches, find_pending_rows, num_tasks
from lib.lake.schemas import IMAGES_CLEAN, IMAGES_REJECTED
from lib.lake.worker_counts import WorkerCounter
from lib.sections.images import CleaningSettings

logger = logging.getLogger(__name__)

OUTCOME_COLUMNS = {
    "image_id": "string",
    "source": "string",
    "width": "int",
    "height": "int",
    "rotation_deg": "int",
    "num_specks_removed": "int",
    "ink_fraction": "float",
    "transform": "array<double>",
    "image": "binary",
    "larger_image": "binary",
    "reason": "string",
    "detail": "string",
    "cleaning_version": "string",
}


def cleaning_version(settings: CleaningSettings) -> str:
    """A name for the cleaning settings, stored in each row made with them."""
    return fingerprint(settings)


def clean_new_images(lake: Lake, settings: CleaningSettings) -> None:
    """Clean the images of images_raw that these settings have not cleaned or rejected yet.

    After a change of settings every image is cleaned again and its rows are replaced; so is an image whose file has
    been replaced. An image is done when it is in exactly one of the two tables, under these settings: a run that ended
    between two commits leaves it in both.
    """
    # Whatever follows images_clean does so by cleaning_version, so new bytes need another one.
    version = F.concat(F.lit(cleaning_version(settings)), version_of_bytes())
    raw = lake.require("images_raw").withColumn("wanted_version", version)
    is_final = (F.col("stage") == "clean") & (F.col("reason") != "out_of_memory")
    rejected = lake.read("images_rejected").where(is_final).select("image_id", "cleaning_version")
    cleaned = lake.read("images_clean").select("image_id", "cleaning_version")
    done = (
        cleaned.union(rejected)
        .groupBy("image_id")
        .agg(F.count("*").alias("num_outcomes"), F.max("cleaning_version").alias("cleaning_version"))
        .join(raw.select("image_id", "wanted_version"), on="image_id", how="inner")
        .where((F.col("num_outcomes") == 1) & (F.col("cleaning_version") == F.col("wanted_version")))
    )
    rows = raw.select("image_id", "source", "ingested_at", "image", F.col("wanted_version").alias("cleaning_version"))
    with lake.staging():
        _clean_pending(lake, find_pending_rows(lake, rows, done, "ingested_at"), settings)
    lake.create("images_clean")  # there to be read, also when no image can be cleaned


def _clean_pending(lake: Lake, pending: PendingRows, settings: CleaningSettings) -> None:
    if not pending.num_rows:
        logger.info("nothing new")
        return
    commit = partial(_commit_batch, lake, settings)
    commit_batches(lake, "clean_images", pending.batches(), pending.num_rows, commit)


def _commit_batch(
    lake: Lake, settings: CleaningSettings, batch: DataFrame, num_rows: int, counter: WorkerCounter
) -> None:
    now = F.lit(commit_time())
    schema = ", ".join(f"{name} {kind}" for name, kind in OUTCOME_COLUMNS.items())
    outcomes = (
        batch.select("image_id", "source", "image", "cleaning_version")
        .repartition(num_tasks(lake.spark, num_rows))
        .mapInPandas(partial(clean_batches, settings=settings, counter=counter), schema)
        .withColumns({"stage": F.lit("clean"), "cleaned_at": now, "rejected_at": now})
        .transform(lake.stage)
    )
    has_refused = not outcomes.where(F.col("reason").isNotNull()).isEmpty()
    was_refused = not lake.read("images_rejected").where(F.col("stage") == "clean").isEmpty()
    if has_refused or was_refused:
        lake.upsert("images_rejected", outcomes.select(*IMAGES_REJECTED.schema.names), delete_when="new.reason is null")
    lake.upsert(
        "images_clean", outcomes.select(*IMAGES_CLEAN.schema.names, "reason"), delete_when="new.reason is not null"
    )


def clean_batches(
    batches: Iterator[pd.DataFrame], settings: CleaningSettings, counter: WorkerCounter
) -> Iterator[pd.DataFrame]:
    """Rows (image_id, source, image, cleaning_version) in, rows of OUTCOME_COLUMNS out, one for one.

    `reason` is null for clean ones.
    """
    for batch in batches:
        columns = batch[["image_id", "source", "image", "cleaning_version"]]
        rows = [
            (image_id, source, *_clean(image, settings), version)
            for image_id, source, image, version in columns.itertuples(index=False)
        ]
        counter.add(len(rows))
        yield pd.DataFrame(rows, columns=list(OUTCOME_COLUMNS))


def _clean(image: bytes, settings: CleaningSettings) -> tuple[object, ...]:
    try:
        clean = clean_image(image, settings)
    except CorruptImageError as error:
        return (*[None] * 8, error.reason, error.detail)
    height, width = clean.pixels.shape[:2]
    return (
        width,
        height,
        clean.rotation_deg,
        clean.num_specks_removed,
        clean.ink_fraction,
        clean.transform.ravel().tolist(),
        encode_png(clean.pixels),
        None if clean.larger is None else encode_png(clean.larger),
        None,
        None,
    )
