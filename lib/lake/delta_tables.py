"""The lake: every read and write of a table, by name, with its schema and key of lib/lake/schemas.py.

Every write is tried again where another run's write came between. Raises ConcurrentWriteError if that does not help.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pyspark.sql.functions as F
from delta import exceptions
from delta.tables import DeltaMergeBuilder, DeltaTable
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from lib.errors import MissingInputError, SchemaMismatchError
from lib.lake.commits import retried
from lib.lake.schemas import TABLES, Table
from lib.lake.staged_rows import remove_stale, remove_unfinished_commits, staged, staging_folder
from lib.sections.lake import StorageSettings

T = TypeVar("T")

CONFLICTS = (  # Delta's classes have no base of their own in Python
    exceptions.ConcurrentAppendException,
    exceptions.ConcurrentDeleteDeleteException,
    exceptions.ConcurrentDeleteReadException,
    exceptions.ConcurrentTransactionException,
    exceptions.ConcurrentWriteException,
    exceptions.DeltaConcurrentModificationException,
    exceptions.MetadataChangedException,
    exceptions.ProtocolChangedException,
)
FIRST_PAUSE_S = 0.25


def committed(table: str, commit: Callable[[], T]) -> T:
    """The result of a write to the table, which is tried again where another run's came between; see `retried`."""
    return retried(table, commit, CONFLICTS, FIRST_PAUSE_S, "let other runs end, then start this one again")


class Lake:
    """The tables of one storage, seen through one Spark session."""

    def __init__(self, spark: SparkSession, storage: StorageSettings) -> None:
        self.spark = spark
        self.storage = storage
        self._staging: list[str] = []  # folders of the blocks that are open, the innermost last

    @contextmanager
    def staging(self) -> Iterator[None]:
        """While the block runs, `stage` may be called; the rows that it keeps are gone with the block."""
        with staging_folder(absolute_root(self.storage)) as folder:
            self._staging.append(folder)
            try:
                yield
            finally:
                self._staging.pop()

    def stage(self, rows: DataFrame) -> DataFrame:
        """The rows, computed once, cut off from the tables they came from, and safe from the loss of an executor.

        They last as long as the innermost block of `staging`.
        """
        return staged(rows, self._staging[-1])

    def has(self, name: str) -> bool:
        """Whether the table exists."""
        if self.storage.catalog:
            return self.spark.catalog.tableExists(self._address(TABLES[name]))
        return DeltaTable.isDeltaTable(self.spark, self._address(TABLES[name]))

    def create(self, name: str) -> None:
        """Make the table, empty, if it is not there: with its columns, their comments and its own.

        One that an older version of the project made gets the columns that it lacks, null in the rows it has.
        """
        committed(name, lambda: self._create(TABLES[name]))

    def _create(self, table: Table) -> None:
        if self.has(table.name):
            self._add_new_columns(table)
            return
        builder = DeltaTable.createIfNotExists(self.spark).addColumns(table.schema).comment(table.comment)
        if self.storage.catalog:
            builder.tableName(self._address(table)).execute()
            return
        try:
            builder.location(self._address(table)).execute()
        except AnalysisException as error:
            if error.getErrorClass() != "DELTA_TABLE_NOT_FOUND":
                raise
            self._commit_first(table)

    def _commit_first(self, table: Table) -> None:
        """Make the table where a folder lies without a commit, which Delta's CREATE takes for a table.

        Another run is about to commit there, and then this one's commit is tried again, or was killed before it did.
        """
        none = self.spark.createDataFrame([], table.schema)
        none.write.format("delta").mode("append").save(self._address(table))
        self.spark.sql(f"comment on table delta.`{self._address(table)}` is '{_quoted(table.comment)}'")

    def read(self, name: str) -> DataFrame:
        """The table's rows; none if it has not been written yet. Columns that an older version lacks are null."""
        if not self.has(name):
            return self.spark.createDataFrame([], TABLES[name].schema).limit(0)  # known to be empty
        rows = self._open(TABLES[name]).toDF()
        lacking = {field.name: field.dataType for field in TABLES[name].schema if field.name not in rows.columns}
        nulls = {column: F.lit(None).cast(kind) for column, kind in lacking.items()}
        return rows.withColumns(nulls) if nulls else rows

    def require(self, name: str) -> DataFrame:
        """The table's rows. Raises MissingInputError naming the job to run first."""
        if not self.has(name):
            raise MissingInputError(f"there is no table {name} in {self.storage.root}: run {TABLES[name].job} first")
        return self.read(name)

    def version(self, name: str) -> int:
        """The number of the table's newest commit."""
        newest = self._open(TABLES[name]).history(1).select("version").first()
        assert newest is not None  # a table has the commit that made it
        return newest.version

    def insert_new(self, name: str, rows: DataFrame) -> None:
        """Insert the rows whose key the table does not hold yet, in one commit.

        A MERGE, not an append: run twice, or by two runs at a time, it still leaves one row per key.
        """
        table = TABLES[name]
        self.create(name)
        source = _conform(rows, table)
        committed(name, lambda: self._merge(table, source).whenNotMatchedInsertAll().execute())

    def upsert(self, name: str, rows: DataFrame, delete_when: str | None = None) -> None:
        """Insert rows or replace those of the same key, in one commit.

        Where the SQL condition `delete_when` holds (over `new`), the table's row is deleted and none inserted.
        """
        table = TABLES[name]
        self.create(name)
        columns = {column: f"new.{column}" for column in table.schema.names}
        keep = f"not ({delete_when})" if delete_when else None
        source = rows if delete_when else _conform(rows, table)

        def commit() -> None:
            merge = self._merge(table, source)
            if delete_when:
                merge = merge.whenMatchedDelete(condition=delete_when)
            merge.whenMatchedUpdate(set=columns).whenNotMatchedInsert(condition=keep, values=columns).execute()

        committed(name, commit)

    def replace(self, name: str, rows: DataFrame) -> None:
        """Replace the whole table by these rows, in one commit."""
        table = TABLES[name]
        self.create(name)
        writer = _conform(rows, table).write.format("delta").mode("overwrite")
        save = writer.saveAsTable if self.storage.catalog else writer.save
        committed(name, lambda: save(self._address(table)))

    def compact(self, name: str) -> tuple[int, int]:
        """Join the table's small files, in a commit that changes no row; the numbers of files before and after it."""
        joined = committed(name, lambda: self._open(TABLES[name]).optimize().executeCompaction())
        metrics = joined.select("metrics.*").first()
        assert metrics is not None  # OPTIMIZE answers with one row per table
        return metrics.numFilesRemoved, metrics.numFilesAdded

    def vacuum(self, name: str, retain_hours: int) -> None:
        """Delete the files that no version of the last `retain_hours` needs: time travel ends there."""
        self._open(TABLES[name]).vacuum(retain_hours)
        if not self.storage.catalog:  # whose storage has whole files alone
            remove_unfinished_commits(self._address(TABLES[name]), retain_hours)

    def remove_stale_rows(self, retain_hours: int) -> int:
        """Remove staged rows that killed runs have left; the number of runs."""
        return remove_stale(absolute_root(self.storage), retain_hours)

    def _add_new_columns(self, table: Table) -> None:
        known = self._open(table).toDF().columns
        new = [field for field in table.schema if field.name not in known]
        if new:
            columns = ", ".join(
                f"{field.name} {field.dataType.simpleString()} comment '{_quoted(field.metadata['comment'])}'"
                for field in new
            )
            address = self._address(table) if self.storage.catalog else f"delta.`{self._address(table)}`"
            try:
                self.spark.sql(f"alter table {address} add columns ({columns})")
            except AnalysisException:
                if {field.name for field in new} - set(self._open(table).toDF().columns):
                    raise  # else another run has added them meanwhile

    def _address(self, table: Table) -> str:
        if self.storage.catalog:
            return ".".join(map(quoted_name, (self.storage.catalog, self.storage.schema_name or "", table.name)))
        return f"{absolute_root(self.storage)}/{table.name}"

    def _merge(self, table: Table, source: DataFrame) -> DeltaMergeBuilder:
        return self._open(table).alias("old").merge(source.alias("new"), _same_key(table))

    def _open(self, table: Table) -> DeltaTable:
        if self.storage.catalog:
            return DeltaTable.forName(self.spark, self._address(table))
        return DeltaTable.forPath(self.spark, self._address(table))


def absolute_root(storage: StorageSettings) -> str:
    """The root with its folder in full: relative, it is a table's name to Delta and lies in the warehouse to Spark."""
    is_url = storage.root.startswith("file:")
    return storage.root.rstrip("/") if is_url else str(Path(storage.root).absolute())


def quoted_name(name: str) -> str:
    """A name of a catalog, schema or table as SQL takes it, whatever characters it has."""
    escaped = name.replace("`", "``")
    return f"`{escaped}`"


def commit_time() -> datetime:
    """Now, as one value for all rows of a commit.

    Rows of one commit lie in files of their own, so a filter on this value reads those files and no others.
    """
    return datetime.now(UTC)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _same_key(table: Table) -> str:
    return " and ".join(f"old.{column} = new.{column}" for column in table.key)


def _conform(rows: DataFrame, table: Table) -> DataFrame:
    """The rows in the table's column order. Raises SchemaMismatchError naming every misfit."""
    expected = {field.name: field.dataType.simpleString() for field in table.schema}
    seen = {field.name: field.dataType.simpleString() for field in rows.schema}
    if seen != expected:
        faults = [
            f"{name}: {seen.get(name, 'missing')} where {expected.get(name, 'nothing')} is expected"
            for name in sorted(expected.keys() | seen.keys())
            if seen.get(name) != expected.get(name)
        ]
        raise SchemaMismatchError(f"rows do not fit table {table.name}: " + "; ".join(faults))
    return rows.select(*(F.col(name) for name in table.schema.names))
