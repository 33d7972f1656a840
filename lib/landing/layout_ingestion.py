"""Layouts of drawings (where each atom lies) from Parquet files beside the captions; training learns from them."""

import logging
from collections.abc import Iterable, Iterator

import pandas as pd
import pyarrow.parquet as pq
import pyspark.sql.functions as F
import pyspark.sql.types as T

from lib.errors import LandingZoneError
from lib.lake.delta_tables import Lake, commit_time
from lib.lake.layout_columns import LAYOUT_COLUMNS
from lib.lake.schemas import IMAGE_LAYOUTS
from lib.landing.ledger import FILE_SCHEMA, remember_files, unread_files
from lib.landing.zone import LandedFile, LandingZone, open_landed

logger = logging.getLogger(__name__)

FILE_COLUMNS = ["image_id", *LAYOUT_COLUMNS]


def ingest_layouts(lake: Lake, zone: LandingZone) -> None:
    """Read new layouts from files that are new or changed. Raises LandingZoneError if one lacks a column."""
    files = unread_files(lake, zone.layouts)
    for file in files:
        _check_columns(file)
    if not files:
        return
    schema = T.StructType([field for field in IMAGE_LAYOUTS.schema if field.name in FILE_COLUMNS])
    rows = lake.spark.createDataFrame(files, FILE_SCHEMA).repartition(len(files)).mapInPandas(_read_layouts, schema)
    lake.insert_new(
        "image_layouts", rows.dropDuplicates(["image_id"]).withColumn("ingested_at", F.lit(commit_time()))
    )
    remember_files(lake, files)
    logger.info("ingest_images: layouts from %d files", len(files))


def _read_layouts(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    for batch in batches:
        for path in batch["path"]:
            with open_landed(path) as stream:
                for chunk in pq.ParquetFile(stream).iter_batches(batch_size=10_000, columns=FILE_COLUMNS):
                    yield chunk.to_pandas()


def _check_columns(file: LandedFile) -> None:
    with open_landed(file.path) as stream:
        seen = pq.read_schema(stream).names
    missing = [name for name in FILE_COLUMNS if name not in seen]
    if missing:
        raise LandingZoneError(f"{file.path} lacks {', '.join(missing)}: see lib/lake/layout_columns.py, or set "
                               "landing.layouts_files to a pattern that it does not match")
