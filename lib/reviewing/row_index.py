"""Where the rows of an image lie in a table's files, so that one image is read without reading all of them."""

import threading
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.lake.delta_rows import Columns, DeltaRows, Version, as_columns, unreadable

ROWS_AT_A_TIME = 32


class _Index(NamedTuple):
    """The image_id of every row, row group after row group."""

    version: Version | None
    groups: list[Any]
    first_rows: Any  # (G,) number of rows before each group
    image_ids: pa.ChunkedArray


class RowIndex:
    """The rows of one table by image_id; its index is made again when the table has changed. May be used by threads."""

    def __init__(self, rows: DeltaRows, name: str) -> None:
        self._rows, self._name = rows, name
        self._index = _Index(None, [], np.zeros(0, int), pa.chunked_array([], pa.string()))
        self._lock = threading.Lock()

    def version(self) -> Version | None:
        """The table as it stands; None if there is none. Raises UnreadableTableError."""
        return self._newest().version

    def has(self, image_id: str) -> bool:
        """Whether the table has a row of that image. Raises UnreadableTableError."""
        return bool(len(self._found(image_id)[1]))

    def known(self, image_ids: Collection[str]) -> set[str]:
        """Which of the images the table has a row of. Raises UnreadableTableError."""
        index = self._newest()
        is_known = pc.is_in(index.image_ids, value_set=pa.array(list(image_ids), pa.string()))
        return set(index.image_ids.filter(is_known).to_pylist())

    def read(self, image_id: str, columns: Columns) -> list[dict[str, Any]]:
        """The image's rows. Columns that an older version of the table lacks are null. Raises UnreadableTableError."""
        index, found = self._found(image_id)
        rows: list[dict[str, Any]] = []
        try:
            for group, inside in _by_group(index, found):
                known = [name for name in columns if name in group.physical_schema.names]
                table = group.to_table(columns=known).take(pa.array(inside))
                rows += as_columns(table, columns).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self._name, error) from error
        return rows

    def first_bytes(self, image_id: str, column: str) -> bytes | None:
        """One column of the image's first row, reading no row after it; None if there is none. Raises as `read`."""
        index, found = self._found(image_id)
        try:
            for group, (row, *_) in _by_group(index, found):
                for batch in group.to_batches(
                    columns=[column],
                    batch_size=ROWS_AT_A_TIME,
                    batch_readahead=0,
                    fragment_readahead=0,
                    use_threads=False,
                ):
                    if row < batch.num_rows:
                        return batch[column][int(row)].as_py() or b""
                    row -= batch.num_rows
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self._name, error) from error
        return None

    def _found(self, image_id: str) -> tuple[_Index, Any]:
        index = self._newest()
        return index, np.flatnonzero(pc.fill_null(pc.equal(index.image_ids, image_id), False).to_numpy())

    def _newest(self) -> _Index:
        with self._lock:
            dataset, version = self._rows.dataset(self._name)
            if version != self._index.version:
                try:
                    fragments = dataset.get_fragments() if dataset is not None else []
                    groups = [group for fragment in fragments for group in fragment.split_by_row_group()]
                    tables = [group.to_table(columns=["image_id"]) for group in groups]
                    ids = [table["image_id"].cast(pa.string()).combine_chunks() for table in tables]
                except (OSError, pa.ArrowException) as error:
                    raise unreadable(self._name, error) from error
                first_rows = np.cumsum([0, *map(len, ids)])[:-1]
                self._index = _Index(version, groups, first_rows, pa.chunked_array(ids, pa.string()))
            return self._index


def _by_group(index: _Index, found: Any) -> list[tuple[Any, Any]]:
    """The row groups with rows of `found`, each with the numbers of these rows in it."""
    of_group = np.searchsorted(index.first_rows, found, side="right") - 1
    return [
        (index.groups[number], found[of_group == number] - index.first_rows[number])
        for number in np.unique(of_group).tolist()
    ]
