"""Reads the lake's tables with the package deltalake, without Spark."""

import re
import threading
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, DeltaProtocolError, TableNotFoundError
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from lib.errors import CaptionlakeError

# deltalake takes these for parts of a URL, or for ends of folders.
UNREAD_IN_PATHS = re.compile(r"%[0-9A-Fa-f]{2}|\\|[\x00-\x1f]")

Columns = dict[str, pa.DataType]  # by name, in order


class UnreadableTableError(CaptionlakeError):
    """Raised when a table is there and cannot be read; the message says what to do."""


class Version(NamedTuple):
    """The version of a table; it differs whenever the rows may differ."""

    number: int  # of the newest commit
    commit: tuple[int, int] | None  # file number and time of that commit: a table that was made again begins at 0


class _Opened(NamedTuple):
    table: DeltaTable
    version: Version
    dataset: ds.Dataset


class DeltaRows:
    """The tables below a folder, each opened once and brought up to date before it is read. May be used by threads.

    Raises UnreadableTableError if the folder's path is one in whose place deltalake would take another.
    """

    def __init__(self, root: str) -> None:
        self.root = Path(root).absolute()
        if unread := UNREAD_IN_PATHS.search(str(self.root.resolve())):  # it follows links, too
            raise UnreadableTableError(
                f"tables in {str(self.root.resolve())!r} cannot be reached without Spark: the package deltalake takes "
                f"{unread.group()!r} in a path for something else; rename the folder"
            )
        self._opened: dict[str, _Opened] = {}
        self._lock = threading.Lock()

    def version(self, name: str) -> Version | None:
        """The table as it stands; None if there is none. Raises UnreadableTableError."""
        return self.dataset(name)[1]

    def read(self, name: str, columns: Columns) -> pa.Table:
        """The table's rows; none if it was not written yet.

        Columns that an older version of the table lacks are null. Raises UnreadableTableError.
        """
        dataset, _ = self.dataset(name)
        if dataset is None:
            return pa.table({column: pa.array([], kind) for column, kind in columns.items()})
        known = [column for column in columns if column in dataset.schema.names]
        try:
            return as_columns(dataset.to_table(columns=known), columns)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(name, error) from error

    def dataset(self, name: str) -> tuple[ds.Dataset | None, Version | None]:
        """The table's files and which version they are; None if there is no table. Raises UnreadableTableError."""
        with self._lock:
            found = self._newest(name)
        return (found.dataset, found.version) if found else (None, None)

    def _newest(self, name: str) -> _Opened | None:
        opened = self._opened.pop(name, None)
        try:
            if opened is None or self._commit(name, opened.version.number) != opened.version.commit:
                table = DeltaTable(str(self.root / name))
            elif self._commit(name, opened.version.number + 1):
                table = opened.table
                table.update_incremental()
            else:
                self._opened[name] = opened
                return opened
            version = Version(table.version(), self._commit(name, table.version()))
            # Arrow's own files: deltalake's are Python, which Arrow's threads may still call as the process ends.
            files = SubTreeFileSystem(str(self.root / name), LocalFileSystem())
            self._opened[name] = _Opened(table, version, table.to_pyarrow_dataset(filesystem=files))
        except TableNotFoundError:
            return None
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise unreadable(name, error) from error
        return self._opened[name]

    def _commit(self, name: str, number: int) -> tuple[int, int] | None:
        """File number and time of a commit; None if it is not there, or only in a checkpoint."""
        try:
            status = (self.root / name / "_delta_log" / f"{number:020}.json").stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_ino, status.st_mtime_ns


def as_columns(table: pa.Table, columns: Columns) -> pa.Table:
    """The columns in their order and types, null where the table lacks them."""
    return pa.table(
        {
            name: table[name].cast(kind) if name in table.column_names else pa.nulls(table.num_rows, kind)
            for name, kind in columns.items()
        }
    )


def unreadable(name: str, error: Exception) -> UnreadableTableError:
    """One sentence on a table that is there and cannot be read."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    if isinstance(error, DeltaProtocolError) or (isinstance(error, DeltaError) and "Unsupported" in said):
        return UnreadableTableError(
            f"table {name} was written by a newer Delta than is read here: install a newer deltalake ({said})"
        )
    return UnreadableTableError(
        f"table {name} cannot be read ({said}): run its job again, or ask the administrator of the lake"
    )
