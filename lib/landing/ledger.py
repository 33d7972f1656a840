"""The ledger of what was read: archives, caption and layout files that did not change since are not opened again."""

import pyspark.sql.functions as F

from lib.lake.delta_tables import Lake, commit_time
from lib.landing.zone import LandedFile

FILE_SCHEMA = "path string, num_bytes long, modified_at string"


class Ledger:
    """The table landing_files as a run finds it, and what the run has to note there, in one commit at its end.

    A run that ends before its note reads the same files again, and changes nothing by it.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        rows = lake.read("landing_files").select("path", "num_bytes", "modified_at").collect()
        self._known = {row.path: LandedFile(*row) for row in rows}
        self._read: list[LandedFile] = []
        self._dropped: list[str] = []

    @property
    def paths(self) -> set[str]:
        """The paths that the ledger holds."""
        return set(self._known)

    def unread(self, files: list[LandedFile]) -> list[LandedFile]:
        """The files that the ledger does not hold as they are now."""
        return [file for file in files if self._known.get(file.path) != file]

    def remember(self, files: list[LandedFile]) -> None:
        """Note that the files have been read to their end."""
        self._read += files

    def forget(self, paths: list[str]) -> None:
        """Note that the files are no longer read, and would be read anew."""
        self._dropped += paths

    def save(self) -> None:
        """Write what was noted."""
        rows = [tuple(file) for file in self._read] + [(path, None, None) for path in self._dropped]
        if rows:
            changes = self._lake.spark.createDataFrame(rows, FILE_SCHEMA)
            changes = changes.withColumn("ingested_at", F.lit(commit_time()))
            self._lake.upsert("landing_files", changes, delete_when="new.modified_at is null")
