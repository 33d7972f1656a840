"""Layouts of drawings (where each atom lies) from Parquet files beside the captions; training learns from them."""

import logging
from collections.abc import Iterable, Iterator
from functools import partial

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame, Window

from lib.errors import LandingZoneError
from lib.lake.delta_tables import Lake, commit_time
from lib.lake.layout_columns import LAYOUT_COLUMNS, LAYOUT_FILE_SCHEMA
from lib.lake.schemas import IMAGE_LAYOUTS
from lib.landing.caption_rows import UNREADABLE
from lib.landing.file_access import open_landed
from lib.landing.image_names import image_id_of
from lib.landing.ledger import FILE_SCHEMA, Ledger
from lib.landing.zone import LandedFile, LandingZone
from lib.sections.landing import LandingSettings

logger = logging.getLogger(__name__)

MIN_VALUES, MAX_VALUES_PER_ROW, MAX_VALUES_IN_GROUP = 100_000, 1_000, 100_000_000  # of a column of a row group
FILE_COLUMNS = ["image_id", *LAYOUT_COLUMNS]
PARQUET_ERRORS = (pa.ArrowException, OSError, UnicodeError)
ROW_COLUMNS = [*FILE_COLUMNS, "source", "fault", "num_left_out"]
ROW_SCHEMA = T.StructType(
    [
        *(field for field in IMAGE_LAYOUTS.schema if field.name in ROW_COLUMNS),
        T.StructField("fault", T.StringType()),
        T.StructField("num_left_out", T.LongType()),
    ]
)


def ingest_layouts(lake: Lake, ledger: Ledger, zone: LandingZone, landing: LandingSettings) -> None:
    """Read layouts from files that are new or changed; a changed file replaces what it said before.

    Of several files with a layout of one image the first to arrive counts. A file that does not fit is said in the
    log and stops nothing.
    """
    files = _with_layouts(ledger.unread(zone.layouts))
    if not files:
        return
    lake.create("image_layouts")
    read = _read(lake, files, landing)
    torn = _say_what_is_left_out(read)
    files = [file for file in files if file.path not in torn]
    sources = [file.path for file in files]
    known = lake.read("image_layouts").drop("ingested_at")
    of_others = known.where(~F.col("source").isin(sources))
    rows = _firsts(read.where(F.col("source").isin(sources))).join(of_others, on="image_id", how="left_anti")
    gone = known.where(F.col("source").isin(sources)).join(rows, on="image_id", how="left_anti")
    unread = set(ledger.unread(zone.layouts))
    unchanged = [file for file in zone.layouts if file not in unread]
    if unchanged and not gone.isEmpty():  # one of them may have a layout of an image that lost its own
        rows = rows.unionByName(_firsts(_read(lake, unchanged, landing)).join(gone, on="image_id", how="left_semi"))
        gone = gone.join(rows, on="image_id", how="left_anti")
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
    logger.info("%d new or changed layouts from %d files", num_changes, len(files))


def _with_layouts(files: Iterable[LandedFile]) -> list[LandedFile]:
    """The files that have the columns of layouts; the others are said in the log."""
    fitting = []
    for file in files:
        try:
            _check_columns(file)
        except LandingZoneError as error:
            logger.warning("left out: %s", error)
        else:
            fitting.append(file)
    return fitting


def _read(lake: Lake, files: list[LandedFile], landing: LandingSettings) -> DataFrame:
    """Rows of ROW_SCHEMA, each file read by a task of its own."""
    listed = lake.spark.createDataFrame(files, FILE_SCHEMA).repartition(len(files))
    return lake.stage(listed.mapInPandas(partial(_read_layouts, landing=landing), ROW_SCHEMA))


def _say_what_is_left_out(read: DataFrame) -> set[str]:
    """Say in the log what was not read, and return the paths of files that cannot be read to their end."""
    of_files = read.groupBy("source").agg(F.max("fault").alias("fault"), F.sum("num_left_out").alias("num_left_out"))
    torn = set()
    for row in of_files.where(F.col("fault").isNotNull() | (F.col("num_left_out") > 0)).collect():
        if row.fault is not None:
            torn.add(row.source)
            logger.warning("left out: %s cannot be read to its end: %s", row.source, row.fault)
        else:
            logger.warning(
                "%d layouts left out of %s: they name no image, or a column is empty", row.num_left_out, row.source
            )
    return torn


def _firsts(read: DataFrame) -> DataFrame:
    """The layout of each image, from the first file that has one."""
    first = F.row_number().over(Window.partitionBy("image_id").orderBy("source"))
    rows = read.where(F.col("image_id").isNotNull()).drop("fault", "num_left_out").withColumn("rank", first)
    return rows.where("rank = 1").drop("rank")


def _read_layouts(batches: Iterable[pd.DataFrame], landing: LandingSettings) -> Iterator[pd.DataFrame]:
    """Rows with the path of a file in, rows of ROW_SCHEMA out; one without image_id says what is wrong in a file."""
    for batch in batches:
        for path in batch["path"]:
            said: dict[str, object] = {"source": path}
            num_left_out = 0
            try:
                with open_landed(path) as stream:
                    file = pq.ParquetFile(stream)
                    _check_lengths(file.metadata)
                    for chunk in file.iter_batches(batch_size=10_000, columns=FILE_COLUMNS):
                        # Numbers that do not fit are damage here; on their way to Spark they would end the job.
                        rows = pa.Table.from_batches([chunk]).select(FILE_COLUMNS).cast(LAYOUT_FILE_SCHEMA).to_pandas()
                        rows["image_id"] = [_image_id(name, landing) for name in rows["image_id"]]
                        whole = rows.dropna(subset=FILE_COLUMNS)
                        num_left_out += len(rows) - len(whole)
                        yield whole.assign(source=path, fault=None, num_left_out=None)[ROW_COLUMNS]
            except PARQUET_ERRORS as error:
                said["fault"] = str(error)
            said["num_left_out"] = num_left_out
            yield pd.DataFrame([dict.fromkeys(ROW_COLUMNS) | said], dtype=object)


def _check_lengths(metadata: pq.FileMetaData) -> None:
    """Raises ArrowInvalid for lists far longer than molecules: a few bytes may stand for millions of values."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    most = max((group.column(number).num_values for group in groups for number in range(group.num_columns)), default=0)
    num_rows = max((group.num_rows for group in groups), default=0)
    if most > min(MAX_VALUES_IN_GROUP, MIN_VALUES + MAX_VALUES_PER_ROW * num_rows):
        raise pa.ArrowInvalid(f"a column has {most:,} values, too many for layouts of {metadata.num_rows:,} images")


def _image_id(name: str | None, landing: LandingSettings) -> str | None:
    """The id of the image that a layout names; None if it names none."""
    return None if name is None or UNREADABLE.search(name) else image_id_of(name, landing) or None


def _check_columns(file: LandedFile) -> None:
    """Raises LandingZoneError if the file is no Parquet, or a column is missing or of another type."""
    try:
        with open_landed(file.path) as stream:
            schema = pq.read_schema(stream)
    except PARQUET_ERRORS as error:
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
    if not (pa.types.is_list(column_type) or pa.types.is_large_list(column_type)):
        return False
    kind, _ = LAYOUT_COLUMNS[name]
    is_kind = pa.types.is_floating if kind == "float" else pa.types.is_integer
    return bool(is_kind(column_type.value_type))
