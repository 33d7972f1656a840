"""Reference captions: CSV files to the captions table, with the split each picture belongs to."""

import logging
from collections.abc import Iterator

import fsspec
import pandas as pd
import pyspark.sql.functions as F
from pydantic import BaseModel, ConfigDict, Field
from pyspark.sql import Column, DataFrame, Window

from lib.delta_tables import Lake, commit_time
from lib.errors import LandingZoneError
from lib.landing_ledger import FILE_SCHEMA, remember_files, unread_files
from lib.landing_zone import LandedFile, LandingSettings, LandingZone, image_id_of
from lib.schemas import CAPTIONS, IMAGES_REJECTED

logger = logging.getLogger(__name__)

ROWS_PER_CHUNK = 100_000
ROW_SCHEMA = "image_id string, caption string, source string, position long"
NUM_BUCKETS = 1_000_000  # a picture falls into one by the hash of its id


class CaptionSettings(BaseModel):
    """How captions are written and which pictures are kept from training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    notation: str
    max_tokens: int = Field(gt=0)
    min_token_uses: int = Field(gt=0)
    validation_share: float = Field(ge=0, lt=0.5)
    test_share: float = Field(ge=0, lt=0.5)


def split_of(image_id: Column, settings: CaptionSettings) -> Column:
    """The split of a picture: a hash of its id alone, so that it never changes as data grows."""
    bucket = F.pmod(F.xxhash64(image_id), F.lit(NUM_BUCKETS)) / NUM_BUCKETS
    return (
        F.when(bucket < settings.test_share, "test")
        .when(bucket < settings.test_share + settings.validation_share, "validation")
        .otherwise("train")
    )


def ingest_captions(lake: Lake, zone: LandingZone, landing: LandingSettings, settings: CaptionSettings) -> None:
    """Read caption files that are new or changed; a caption that differs from the one known replaces it."""
    files = unread_files(lake, zone.captions)
    if not files:
        return
    now = F.lit(commit_time())
    rows = _read_rows(lake, files, landing).localCheckpoint()
    known = lake.read("captions").select("image_id", "caption_index", F.col("caption").alias("known_caption"))
    is_refused = F.col("reason").isNotNull()
    refused = rows.where(is_refused)
    if not refused.isEmpty():
        lake.insert_new("images_rejected", refused.select(
            "image_id", F.lit("ingest").alias("stage"), "reason", F.col("caption").alias("detail"), "source",
            F.lit(None).cast("string").alias("cleaning_version"), now.alias("rejected_at"),
        ).select(*IMAGES_REJECTED.schema.names))
    new = (
        rows.where(~is_refused)
        .join(known, on=["image_id", "caption_index"], how="left")
        .where(~F.col("caption").eqNullSafe(F.col("known_caption")))
        .withColumn("split", split_of(F.col("image_id"), settings))
        .withColumn("ingested_at", now)
        .select(*CAPTIONS.schema.names)
        .localCheckpoint()
    )
    num_new = new.count()
    if num_new:
        lake.upsert("captions", new)
    remember_files(lake, files)
    pictures = lake.read("images_raw").select("image_id")
    without_picture = lake.read("captions").join(pictures, on="image_id", how="left_anti")
    logger.info(
        "ingest_images: %d new or changed captions from %d files; %d captions in the lake have no picture yet",
        num_new, len(files), without_picture.count(),
    )


def _read_rows(lake: Lake, files: list[LandedFile], landing: LandingSettings) -> DataFrame:
    """All rows of the files, each caption once per picture, with its caption_index or a reason to refuse it."""

    def read(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            for path in batch["path"]:
                yield from _read_csv(path, landing)

    rows = lake.spark.createDataFrame(files, FILE_SCHEMA).repartition(len(files)).mapInPandas(read, ROW_SCHEMA)
    is_empty = F.col("image_id").isNull() | F.col("caption").isNull()
    order = Window.partitionBy("image_id").orderBy("source", "position")
    first_of_text = F.row_number().over(Window.partitionBy("image_id", "caption").orderBy("source", "position")) == 1
    whole = rows.where(~is_empty).withColumn("is_first", first_of_text).where("is_first").drop("is_first")
    indexed = whole.withColumn("caption_index", F.row_number().over(order) - 1).withColumn(
        "reason", F.when(F.col("caption_index") >= landing.max_captions_per_image, "too_many_captions")
    )
    empty = rows.where(is_empty).withColumns({
        "image_id": F.coalesce("image_id", F.concat(F.lit("row "), F.col("position").cast("string"))),
        "caption_index": F.lit(0),
        "reason": F.lit("empty_caption"),
    })
    return indexed.unionByName(empty)


def _read_csv(path: str, landing: LandingSettings) -> Iterator[pd.DataFrame]:
    """Chunks of a captions file as ROW_SCHEMA; `position` counts its rows from 0."""
    columns = [landing.image_id_column, landing.caption_column]
    with fsspec.open(path, "rb") as stream:
        chunks = pd.read_csv(
            stream, usecols=columns, dtype=str, keep_default_na=False, na_values=[""], chunksize=ROWS_PER_CHUNK,
            encoding_errors="replace", skipinitialspace=True,
        )
        position = 0
        for chunk in chunks:
            image_id = chunk[landing.image_id_column].str.strip()
            yield pd.DataFrame({
                "image_id": image_id.map(lambda name: image_id_of(name, landing.image_suffixes), na_action="ignore"),
                "caption": chunk[landing.caption_column].str.strip(),
                "source": path,
                "position": range(position, position + len(chunk)),
            })
            position += len(chunk)


def check_caption_files(files: list[LandedFile], landing: LandingSettings) -> None:
    """Raises LandingZoneError naming the setting if a file lacks a column, before anything is read."""
    for file in files:
        _check_columns(file, landing)


def _check_columns(file: LandedFile, landing: LandingSettings) -> None:
    wanted = {"landing.image_id_column": landing.image_id_column, "landing.caption_column": landing.caption_column}
    try:
        with fsspec.open(file.path, "rb") as stream:
            header = pd.read_csv(stream, nrows=0, encoding_errors="replace", skipinitialspace=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise LandingZoneError(f"{file.path} cannot be read as CSV: {error}") from None
    for setting, column in wanted.items():
        if column not in header.columns:
            raise LandingZoneError(
                f"{file.path} has no column {column!r} (it has: {', '.join(header.columns)}): set {setting}"
            )
