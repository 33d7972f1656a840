"""Images that cleaning has rejected: they keep no id from an image that arrives later."""

import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame

from lib.lake.delta_tables import Lake
from lib.lake.image_versions import version_of_bytes
from lib.lake.schemas import IMAGES_REJECTED


def rejected_images(lake: Lake) -> DataFrame:
    """Columns of images_rejected and of images_raw (num_bytes, file_version) for images rejected as they are now.

    Not of images whose file has been replaced since, and that wait to be cleaned.
    """
    raw = lake.read("images_raw").withColumn("version_of_bytes", version_of_bytes())
    raw = raw.select("image_id", "source", "num_bytes", "file_version", "version_of_bytes")
    said = lake.read("images_rejected").where((F.col("stage") == "clean") & (F.col("reason") != "out_of_memory"))
    rows = said.join(raw, on=["image_id", "source"], how="inner")
    return rows.where(F.col("cleaning_version").endswith(F.col("version_of_bytes"))).drop("version_of_bytes")


def as_rejected_at_ingest(rejected: DataFrame) -> DataFrame:
    """Rows of `rejected_images` as rows of images_rejected for images that are no longer in images_raw."""
    detail = F.concat(F.coalesce("detail", F.lit("")), _of_file())
    return rejected.withColumns({"stage": F.lit("ingest"), "detail": detail}).select(*IMAGES_REJECTED.schema.names)


def without_rejected_before(arrivals: DataFrame, lake: Lake) -> DataFrame:
    """The arrivals without files that cleaning rejected, that lost their id by it, and that have not changed since."""
    said = lake.read("images_rejected").where((F.col("stage") == "ingest") & F.col("cleaning_version").isNotNull())
    said = said.select("image_id", "source", F.col("detail").alias("said"))
    same = arrivals.join(said, on=["image_id", "source"], how="inner").where(F.col("said").endswith(_of_file()))
    return arrivals.join(same.select("image_id", "source"), on=["image_id", "source"], how="left_anti")


def outdated_rows(lake: Lake) -> DataFrame:
    """What cleaning said of images whose id another one has taken since."""
    said = lake.read("images_rejected").where(F.col("stage") == "clean")
    raw = lake.read("images_raw").select("image_id", "source")
    taken = said.join(raw.select("image_id"), on="image_id", how="left_semi")
    return taken.join(raw, on=["image_id", "source"], how="left_anti")


def _of_file() -> Column:
    """Of which version of the file a row is, for people and to tell whether it has changed."""
    number, version = F.col("num_bytes").cast("string"), F.coalesce("file_version", F.lit(""))
    return F.concat(F.lit(" (the file had "), number, F.lit(" bytes, version "), version, F.lit(")"))
