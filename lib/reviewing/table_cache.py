"""A value computed from a table's columns, cached until the table changes."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import pyarrow as pa

from lib.lake.delta_rows import Columns, DeltaRows, Version

MADE_AT_ONCE = 20_000  # rows; more take longer than anyone should wait for a page
Made = TypeVar("Made")


class TableCache(Generic[Made]):
    """A value made of one table's columns. May be used by threads."""

    def __init__(self, rows: DeltaRows, name: str, columns: Columns, make: Callable[[pa.Table], Made]) -> None:
        self._rows, self._name, self._columns, self._make_of = rows, name, columns, make
        self._made = make(pa.table({column: pa.array([], kind) for column, kind in columns.items()}))
        self._num_rows = 0
        self._version: Version | None = None
        self._making: Future[None] | None = None
        self._fault: BaseException | None = None  # of the newest version, until it or another can be read
        self._maker, self._lock = ThreadPoolExecutor(1), threading.Lock()

    def newest(self) -> Made:
        """What the table gives now; what it gave before, while many rows are read. Raises UnreadableTableError."""
        with self._lock:
            if self._making is not None and self._making.done():
                self._fault, self._making = self._making.exception(), None
            version = self._rows.version(self._name)
            if version == self._version:
                return self._made
            if self._making is None:
                self._making = self._maker.submit(self._make, version)
            if self._num_rows <= MADE_AT_ONCE:
                self._fault, self._making = self._making.exception(), None
            if self._fault is not None:
                raise self._fault
            return self._made

    def _make(self, version: Version | None) -> None:
        table = self._rows.read(self._name, self._columns)
        self._made, self._num_rows = self._make_of(table), table.num_rows
        self._version = version
