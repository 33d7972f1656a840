"""Rows of the lake's tables through the package deltalake: no Spark is started to look at them."""

import threading
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, DeltaProtocolError, TableNotFoundError

from lib.errors import CaptionlakeError

Columns = dict[str, pa.DataType]  # by name, in order


class UnreadableTableError(CaptionlakeError):
    """Raised when a table is there and cannot be read; the message says what to do."""


class Version(NamedTuple):
    """A table as it stands: another value whenever its rows may be others."""

    number: int  # of the newest commit
    commit: tuple[int, int]  # file number and time of that commit: a table that was made again begins at 0


class DeltaRows:
    """The tables below a folder, each opened once and brought up to date before it is read. May be used by threads."""

    def __init__(self, root: str) -> None:
        self.root = Path(root).absolute()
        self._opened: dict[str, tuple[DeltaTable, Version]] = {}
        self._lock = threading.Lock()

    def version(self, name: str) -> Version | None:
        """The table as it stands; None if there is none. Raises UnreadableTableError."""
        with self._lock:
            found = self._newest(name)
        return found[1] if found else None

    def read(self, name: str, columns: Columns, rows: ds.Expression | None = None) -> pa.Table:
        """The table's rows for which the condition holds; none if it was not written yet.

        Columns that an older version of the table lacks are null. Raises UnreadableTableError.
        """
        dataset, _ = self.dataset(name)
        if dataset is None:
            return pa.table({column: pa.array([], kind) for column, kind in columns.items()})
        known = [column for column in columns if column in dataset.schema.names]
        try:
            table = dataset.to_table(columns=known, filter=rows)
            return pa.table(
                {
                    column: table[column].cast(kind) if column in known else pa.nulls(table.num_rows, kind)
                    for column, kind in columns.items()
                }
            )
        except (OSError, pa.ArrowException) as error:
            raise unreadable(name, error) from error

    def dataset(self, name: str) -> tuple[ds.Dataset | None, Version | None]:
        """The table's files and which version they are; None if there is no table. Raises UnreadableTableError."""
        with self._lock:
            if not (found := self._newest(name)):
                return None, None
            try:
                return found[0].to_pyarrow_dataset(), found[1]
            except (DeltaError, OSError, pa.ArrowException) as error:
                raise unreadable(name, error) from error

    def _newest(self, name: str) -> tuple[DeltaTable, Version] | None:
        opened = self._opened.get(name)
        try:
            if opened and self._commit(name, opened[1].number) == opened[1].commit:
                table = opened[0]
                table.update_incremental()
            else:
                table = DeltaTable(str(self.root / name))
            number = table.version()
            self._opened[name] = table, Version(number, self._commit(name, number))
        except TableNotFoundError:
            self._opened.pop(name, None)
            return None
        except (DeltaError, OSError) as error:
            self._opened.pop(name, None)
            raise unreadable(name, error) from error
        return self._opened[name]

    def _commit(self, name: str, number: int) -> tuple[int, int]:
        try:
            status = (self.root / name / "_delta_log" / f"{number:020}.json").stat()
        except FileNotFoundError:  # only a checkpoint is left of it
            return 0, 0
        return status.st_ino, status.st_mtime_ns


def unreadable(name: str, error: Exception) -> UnreadableTableError:
    """One sentence on a table that is there and cannot be read."""
    if isinstance(error, DeltaProtocolError):
        return UnreadableTableError(
            f"table {name} was written by a newer Delta than this page reads: install a newer deltalake ({error})"
        )
    said = str(error).strip().splitlines() or [type(error).__name__]
    return UnreadableTableError(
        f"table {name} cannot be read ({said[0][:300]}): run its job again, or ask whoever keeps the lake"
    )
