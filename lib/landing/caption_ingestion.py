"""Reference captions: CSV files to the captions table, with the split each picture belongs to."""

import csv
import io
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime

import pandas as pd
import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame, Window

from lib.errors import LandingZoneError
from lib.lake.delta_tables import Lake, commit_time
from lib.lake.schemas import IMAGES_REJECTED
from lib.landing.ledger import FILE_SCHEMA, remember_files, unread_files
from lib.landing.zone import LandedFile, LandingZone, image_id_of, open_landed
from lib.sections.captions import CaptionSettings
from lib.sections.landing import LandingSettings

logger = logging.getLogger(__name__)

ROWS_PER_CHUNK = 100_000
ROW_SCHEMA = "image_id string, caption string, source string, position long, reason string"
ROW_COLUMNS = ["image_id", "caption", "source", "position", "reason"]
NUM_BUCKETS = 1_000_000  # a picture falls into one by the hash of its id


def split_of(image_id: Column, settings: CaptionSettings) -> Column:
    """The split of a picture: a hash of its id alone, so that it never changes as data grows."""
    bucket = F.pmod(F.xxhash64(image_id), F.lit(NUM_BUCKETS)) / NUM_BUCKETS
    return (
        F.when(bucket < settings.test_share, "test")
        .when(bucket < settings.test_share + settings.validation_share, "validation")
        .otherwise("train")
    )


def ingest_captions(lake: Lake, zone: LandingZone, landing: LandingSettings, settings: CaptionSettings) -> None:
    """Read caption files that are new or changed.

    A new file adds captions to those a picture has; a changed file replaces its own and leaves other files' alone.
    """
    files = unread_files(lake, zone.captions)
    if not files:
        return
    now = commit_time()
    rows = _read_rows(lake, files, landing).localCheckpoint()
    _reject(lake, rows.where(F.col("reason").isNotNull()), now)
    known = lake.read("captions")
    wanted = _numbered(rows.where(F.col("reason").isNull()), known, files).localCheckpoint()
    is_beyond = F.col("caption_index") >= landing.max_captions_per_image
    _reject(lake, wanted.where(is_beyond).withColumn("reason", F.lit("too_many_captions")), now)
    changes = _changes(wanted.where(~is_beyond), known, files).withColumns({
        "split": split_of(F.col("image_id"), settings), "ingested_at": F.lit(now),
    }).localCheckpoint()
    num_changes = changes.count()
    if num_changes:
        lake.upsert("captions", changes, delete_when="new.caption is null")
    remember_files(lake, files)
    pictures = lake.read("images_raw").select("image_id")
    without_picture = lake.read("captions").join(pictures, on="image_id", how="left_anti")
    logger.info(
        "ingest_images: %d new or changed captions from %d files; %d captions in the lake have no picture yet",
        num_changes, len(files), without_picture.count(),
    )


def _reject(lake: Lake, rows: DataFrame, now: datetime) -> None:
    """Write caption rows that cannot be used to images_rejected, each under its own place in its file."""
    if rows.isEmpty():
        return
    lake.insert_new("images_rejected", rows.select(
        "image_id", F.lit("captions").alias("stage"), "reason", F.col("caption").alias("detail"),
        F.concat("source", F.lit(" row "), F.col("position").cast("string")).alias("source"),
        F.lit(None).cast("string").alias("cleaning_version"), F.lit(now).alias("rejected_at"),
    ).select(*IMAGES_REJECTED.schema.names))


def _read_rows(lake: Lake, files: list[LandedFile], landing: LandingSettings) -> DataFrame:
    """All rows of the files as ROW_SCHEMA."""

    def read(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            for path in batch["path"]:
                yield from _read_csv(path, landing)

    return lake.spark.createDataFrame(files, FILE_SCHEMA).repartition(len(files)).mapInPandas(read, ROW_SCHEMA)


def _numbered(rows: DataFrame, known: DataFrame, files: list[LandedFile]) -> DataFrame:
    """Each text once per picture with its caption_index: first what other files said, then the rows in their order."""
    others = known.where(~F.col("source").isin([file.path for file in files])).select(
        "image_id", "caption", "source", F.col("caption_index").cast("long").alias("position"), F.lit(0).alias("rank")
    ).join(rows.select("image_id"), on="image_id", how="left_semi")
    texts = others.unionByName(rows.drop("reason").withColumn("rank", F.lit(1)))
    order = ("rank", "source", "position")
    is_first = F.row_number().over(Window.partitionBy("image_id", "caption").orderBy(*order)) == 1
    index = F.row_number().over(Window.partitionBy("image_id").orderBy(*order)) - 1
    return texts.withColumn("is_first", is_first).where("is_first").drop("is_first").withColumn("caption_index", index)


def _changes(wanted: DataFrame, known: DataFrame, files: list[LandedFile]) -> DataFrame:
    """Rows (image_id, caption_index, caption, source) that differ from the table; caption is null where one must go."""
    wanted = wanted.select("image_id", "caption_index", "caption", "source")
    key = ["image_id", "caption_index"]
    same = wanted.join(known.select(*wanted.columns), on=wanted.columns, how="left_semi")
    of_files = known.where(F.col("source").isin([file.path for file in files])).select(*key, "source")
    affected = known.select(*key, "source").join(wanted.select("image_id"), on="image_id", how="left_semi")
    gone = of_files.union(affected).distinct().join(wanted, on=key, how="left_anti")
    return wanted.join(same, on=key, how="left_anti").unionByName(
        gone.select(*key, F.lit(None).cast("string").alias("caption"), "source")
    )


def _read_csv(path: str, landing: LandingSettings) -> Iterator[pd.DataFrame]:
    """Chunks of a captions file as ROW_SCHEMA; `position` counts its rows from 1, the header left out.

    A row with more or fewer fields than the header is refused: captions may be full of commas, and one that is not
    quoted would pass for a shorter one.
    """
    csv.field_size_limit(2**31 - 1)
    with open_landed(path) as stream, io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="") as text:
        lines = csv.reader(text, skipinitialspace=True)
        header = [name.strip() for name in next(lines)]
        id_place, caption_place = header.index(landing.image_id_column), header.index(landing.caption_column)
        rows: list[tuple[str, str | None, str, int, str | None]] = []
        for position, fields in enumerate((fields for fields in lines if fields), start=1):
            if len(fields) == len(header):
                image_id = image_id_of(fields[id_place].strip(), landing.image_suffixes)
                caption: str | None = fields[caption_place].strip() or None
                reason = None if image_id and caption else "empty_caption"
            else:
                image_id, caption, reason = fields[0].strip(), ",".join(fields), "uneven_row"
            rows.append((image_id or f"row {position}", caption, path, position, reason))
            if len(rows) == ROWS_PER_CHUNK:
                yield pd.DataFrame(rows, columns=ROW_COLUMNS)
                rows = []
        yield pd.DataFrame(rows, columns=ROW_COLUMNS)


def check_caption_files(files: list[LandedFile], landing: LandingSettings) -> None:
    """Raises LandingZoneError naming the setting if a file lacks a column, before anything is read."""
    for file in files:
        _check_columns(file, landing)


def _check_columns(file: LandedFile, landing: LandingSettings) -> None:
    wanted = {"landing.image_id_column": landing.image_id_column, "landing.caption_column": landing.caption_column}
    with open_landed(file.path) as stream, io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="") as text:
        header = [name.strip() for name in next(csv.reader(text, skipinitialspace=True), [])]
    for setting, column in wanted.items():
        if column not in header:
            raise LandingZoneError(
                f"{file.path} has no column {column!r} (it has: {', '.join(header)}): set {setting}, or "
                "landing.captions_files if this file holds no captions"
            )
