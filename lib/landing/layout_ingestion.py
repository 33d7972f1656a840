"""Layouts of drawings (where each atom lies) from Parquet files beside the captions; training learns from them."""

import logging
from collections.abc import Iterable, Iterator
from functools import partial

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Window

from lib.errors import LandingZoneError
from lib.lake.delta_tables import Lake, commit_time
from lib.lake.layout_columns import LAYOUT_COLUMNS
from lib.lake.schemas import IMAGE_LAYOUTS
from lib.landing.ledger import FILE_SCHEMA, Ledger
from lib.landing.zone import LandedFile, LandingZone, image_id_of, open_landed
from lib.sections.landing import LandingSettings

logger = logging.getLogger(__name__)

FILE_COLUMNS = ["image_id", *LAYOUT_COLUMNS]
DAMAGE = (pa.ArrowException, OSError, UnicodeError)
ROW_COLUMNS = [*FILE_COLUMNS, "source", "fault"]
ROW_SCHEMA = T.StructType(
    [*(field for field in IMAGE_LAYOUTS.schema if field.name in ROW_COLUMNS), T.StructField("fault", T.StringType())]
)


def ingest_layouts(lake: Lake, ledger: Ledger, zone: LandingZone, landing: LandingSettings) -> None:
    """Read layouts from files that are new or changed; a changed file replaces what it said before.

    Of several files with a layout of one image the first to arrive counts. A file that does not fit is said in the
    log and stops nothing.
    """
    files = []
    for file in ledger.unread(zone.layouts):
        try:
            _check_columns(file)
        except LandingZoneError as error:
            logger.warning("ingest_images: left out: %s", error)
        else:
            files.append(file)
    if not files:
        return
    lake.create("image_layouts")
    listed = lake.spark.createDataFrame(files, FILE_SCHEMA).repartition(len(files))
    read = lake.stage(listed.mapInPandas(partial(_read_layouts, landing=landing), ROW_SCHEMA))
    faults = {row.source: row.fault for row in read.where(F.col("fault").isNotNull()).collect()}
    for path, fault in faults.items():
        logger.warning("ingest_images: left out: %s cannot be read to its end: %s", path, fault)
    files = [file for file in files if file.path not in faults]
    sources = [file.path for file in files]
    known = lake.read("image_layouts").drop("ingested_at")
    of_others = known.where(~F.col("source").isin(sources))
    rows = (
        read.where(F.col("source").isin(sources))
        .drop("fault")
        .withColumn("rank", F.row_number().over(Window.partitionBy("image_id").orderBy("source")))
        .where(F.col("rank") == 1)
        .drop("rank")
        .join(of_others, on="image_id", how="left_anti")
    )
    gone = known.where(F.col("source").isin(sources)).join(rows, on="image_id", how="left_anti")
    changes = (
        rows.join(known, on=known.columns, how="left_anti")
        .unionByName(gone.withColumn("atom_x", F.lit(None)))
        .withColumn("ingested_at", F.lit(commit_time()))
        .transform(lake.stage)
    )
    num_changes = changes.count()
    if num_changes:
        lake.upsert("image_layouts", changes, delete_when="new.atom_x is null")
    ledger.remember(files)
    logger.info("ingest_images: %d new or changed layouts from %d files", num_changes, len(files))


def _read_layouts(batches: Iterable[pd.DataFrame], landing: LandingSettings) -> Iterator[pd.DataFrame]:
    for batch in batches:
        for path in batch["path"]:
            try:
                with open_landed(path) as stream:
                    for chunk in pq.ParquetFile(stream).iter_batches(batch_size=10_000, columns=FILE_COLUMNS):
                        rows = chunk.to_pandas().dropna(subset=FILE_COLUMNS)
                        image_ids = [image_id_of(image_id, landing) for image_id in rows["image_id"]]
                        yield rows.assign(image_id=image_ids, source=path, fault=None)[ROW_COLUMNS]
            except DAMAGE as error:
                yield pd.DataFrame([dict.fromkeys(FILE_COLUMNS) | {"source": path, "fault": str(error)}], dtype=object)


def _check_columns(file: LandedFile) -> None:
    """Raises LandingZoneError if the file is no Parquet, or a column is missing or of another type."""
    try:
        with open_landed(file.path) as stream:
            schema = pq.read_schema(stream)
    except DAMAGE as error:
        raise LandingZoneError(f"{file.path} is no Parquet file that can be read: {error}") from None
    wrong = [name for name in FILE_COLUMNS if name not in schema.names or not _fits(name, schema.field(name).type)]
    if wrong:
        raise LandingZoneError(
            f"{file.path} lacks {', '.join(wrong)}, or has other types there: see lib/lake/layout_columns.py, or set "
            "landing.layouts_files to a pattern that it does not match"
        )


def _fits(name: str, column_type: pa.DataType) -> bool:
    if name == "image_id":
        return pa.types.is_string(column_type) or pa.types.is_large_string(column_type)
    if not pa.types.is_list(column_type):
        return False
    kind, _ = LAYOUT_COLUMNS[name]
    is_kind = pa.types.is_floating if kind == "float" else pa.types.is_integer
    return bool(is_kind(column_type.value_type))
