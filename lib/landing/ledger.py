"""The ledger of what was read: archives and caption files that did not change since are not opened again."""

import pyspark.sql.functions as F

from lib.lake.delta_tables import Lake, commit_time
from lib.landing.zone import LandedFile

FILE_SCHEMA = "path string, num_bytes long, modified_at string"


def unread_files(lake: Lake, files: list[LandedFile]) -> list[LandedFile]:
    """The files that landing_files does not hold as they are now."""
    known = {
        (row.path, row.num_bytes, row.modified_at)
        for row in lake.read("landing_files").select("path", "num_bytes", "modified_at").collect()
    }
    return [file for file in files if tuple(file) not in known]


def known_paths(lake: Lake) -> list[str]:
    """The paths that the ledger holds."""
    return [row.path for row in lake.read("landing_files").select("path").collect()]


def remember_files(lake: Lake, files: list[LandedFile]) -> None:
    """Note that the files have been read to their end."""
    if files:
        rows = lake.spark.createDataFrame(files, FILE_SCHEMA)
        lake.upsert("landing_files", rows.withColumn("ingested_at", F.lit(commit_time())))


def forget_files(lake: Lake, paths: list[str]) -> None:
    """Take files out of the ledger: they are no longer read, and would be read anew."""
    if paths:
        rows = lake.read("landing_files").where(F.col("path").isin(paths)).withColumn("modified_at", F.lit(None))
        lake.upsert("landing_files", rows, delete_when="new.modified_at is null")
