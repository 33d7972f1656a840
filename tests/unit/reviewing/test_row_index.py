"""Rows of an image are found in any file and row group, and are those that reading all of the table would give."""

import random
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, WriterProperties, write_deltalake

from lib.lake.delta_rows import DeltaRows
from lib.reviewing.row_index import RowIndex
from tests.unit.reviewing.reviewed_lake import write

COLUMNS = {"image_id": pa.string(), "caption": pa.string(), "lacking": pa.int32()}


def table_of_many_files(root: Path) -> list[tuple[str, str]]:
    """Three commits of row groups of ten rows; some images have several rows."""
    lot = random.Random(0)
    rows = [(f"i{lot.randrange(60)}", f"caption {number}") for number in range(120)]
    for start in range(0, 120, 40):
        ids, captions = zip(*rows[start : start + 40], strict=True)
        data = pa.table({"image_id": ids, "caption": captions, "image": [text.encode() for text in captions]})
        properties = WriterProperties(max_row_group_size=10)
        write_deltalake(str(root / "captions"), data, mode="append", writer_properties=properties)
    return rows


def test_rows_are_those_of_the_image_and_no_others(tmp_path: Path) -> None:
    rows = table_of_many_files(tmp_path)
    index = RowIndex(DeltaRows(str(tmp_path)), "captions")
    for number in range(60):
        name = f"i{number}"
        expected = sorted(caption for image_id, caption in rows if image_id == name)
        found = index.read(name, COLUMNS)
        assert sorted(row["caption"] for row in found) == expected
        assert all(row["image_id"] == name and row["lacking"] is None for row in found)
        assert index.has(name) == bool(expected)
        first = index.first_bytes(name, "image")
        assert first is None if not expected else first is not None and first.decode() in expected


def test_the_index_follows_the_table(tmp_path: Path) -> None:
    index = RowIndex(DeltaRows(str(tmp_path)), "captions")
    assert not index.has("a")
    write(tmp_path, "captions", [{"image_id": "a", "caption": "one"}])
    assert [row["caption"] for row in index.read("a", COLUMNS)] == ["one"]
    write(tmp_path, "captions", [{"image_id": "a", "caption": "two"}], mode="overwrite")
    assert [row["caption"] for row in index.read("a", COLUMNS)] == ["two"]
    DeltaTable(tmp_path / "captions").delete("image_id = 'a'")
    assert index.read("a", COLUMNS) == []
