"""From layout files to image_layouts: `pytest tests/spark/landing/test_ingest_layouts.py`."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.lake.delta_tables import Lake
from tests.spark.landing.test_ingest_images import ingest, num_commits

FLOATS, INTS = pa.list_(pa.float32()), pa.list_(pa.int32())
SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("atom_x", FLOATS),
        ("atom_y", FLOATS),
        ("bond_begin", INTS),
        ("bond_end", INTS),
        ("bond_order", FLOATS),
        ("bond_wedge", INTS),
    ]
)


def write_layouts(path: Path, first_x: dict[str, float], schema: pa.Schema = SCHEMA) -> None:
    rows = [
        {
            "image_id": image_id,
            "atom_x": [x, 2.0],
            "atom_y": [3.0, 4.0],
            "bond_begin": [0],
            "bond_end": [1],
            "bond_order": [2.0],
            "bond_wedge": [0],
        }
        for image_id, x in first_x.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def as_large(column_type: pa.DataType) -> pa.DataType:
    return pa.large_list(column_type.value_type) if pa.types.is_list(column_type) else pa.large_string()


def first_x(lake: Lake) -> dict[str, float]:
    return {row.image_id: row.atom_x[0] for row in lake.read("image_layouts").collect()}


def test_layouts_beside_the_captions_are_taken_in_and_nothing_needs_them(lake, arrived):
    ingest(lake, arrived)
    assert not lake.has("image_layouts")
    large = pa.schema([(field.name, as_large(field.type)) for field in SCHEMA])  # as Polars writes columns
    write_layouts(arrived / "train_layouts.parquet", {"p": 1.5})
    write_layouts(arrived / "test_layouts.parquet", {"q": 2.5}, large)
    ingest(lake, arrived)
    assert first_x(lake) == {"p": 1.5, "q": 2.5}
    row = lake.read("image_layouts").where("image_id = 'p'").first()
    assert (row.image_id, row.atom_x, row.bond_order) == ("p", [1.5, 2.0], [2.0])
    assert row.source == f"file://{arrived}/train_layouts.parquet"


@pytest.mark.slow
def test_a_corrected_file_replaces_all_that_it_said(lake, arrived):
    write_layouts(arrived / "a_layouts.parquet", {"p.png": 1.0, "q": 2.0, "r": 3.0})
    ingest(lake, arrived)
    write_layouts(arrived / "b_layouts.parquet", {"q": 20.0, "s": 40.0})
    ingest(lake, arrived)
    assert first_x(lake) == {"p": 1.0, "q": 2.0, "r": 3.0, "s": 40.0}
    before = num_commits(lake)
    ingest(lake, arrived)
    assert num_commits(lake) == before
    write_layouts(arrived / "a_layouts.parquet", {"p": 1.5, "q": 2.0, "s": 4.0})
    ingest(lake, arrived)
    assert first_x(lake) == {"p": 1.5, "q": 2.0, "s": 40.0}
    times = lake.read("image_layouts").groupBy("ingested_at").count().orderBy("ingested_at").collect()
    assert [row["count"] for row in times] == [1, 1, 1]  # q as it was, s, and p anew
    write_layouts(arrived / "a_layouts.parquet", {"p": 1.5})
    ingest(lake, arrived)
    assert first_x(lake) == {"p": 1.5, "q": 20.0, "s": 40.0}  # the other file has q too


def test_layout_files_that_do_not_fit_stop_nothing(lake, arrived, caplog):
    write_layouts(arrived / "good_layouts.parquet", {"p": 1.0})
    wide_types = {FLOATS: pa.list_(pa.float64()), INTS: pa.list_(pa.int64())}
    wide_schema = pa.schema([(field.name, wide_types.get(field.type, field.type)) for field in SCHEMA])
    write_layouts(arrived / "long_layouts.parquet", {"l": 1.0}, wide_schema)
    odd_ids = {"lost\ufffd": 1.0, "n\0l": 1.0, ".png": 1.0, "o": 1.0}
    write_layouts(arrived / "odd_layouts.parquet", odd_ids)
    wide = [{field.name: [2**40] if field.type in wide_types else "w" for field in SCHEMA}]
    pq.write_table(pa.Table.from_pylist(wide, schema=wide_schema), arrived / "wide_layouts.parquet")
    (arrived / "empty_layouts.parquet").write_bytes(b"")
    pq.ParquetWriter(arrived / "none_layouts.parquet", SCHEMA).close()  # no row, and no group of rows
    long = [{field.name: "b" if field.name == "image_id" else [0] * 2_000_000 for field in SCHEMA}]
    pq.write_table(pa.Table.from_pylist(long, schema=SCHEMA), arrived / "bomb_layouts.parquet")
    named = (arrived / "good_layouts.parquet").read_bytes().replace(b"atom_x", b"atom\x80x")
    (arrived / "named_layouts.parquet").write_bytes(named)  # a column's name is no UTF-8
    pq.write_table(pa.table({"image_id": ["p"], "x": [1]}), arrived / "other_layouts.parquet")
    pq.write_table(pa.table({name: ["text"] for name in SCHEMA.names}), arrived / "text_layouts.parquet")
    write_layouts(arrived / "cut_layouts.parquet", {str(number): float(number) for number in range(500)})
    content = bytearray((arrived / "cut_layouts.parquet").read_bytes())
    content[100:900] = bytes(800)
    (arrived / "cut_layouts.parquet").write_bytes(content)
    ingest(lake, arrived)
    assert first_x(lake) == {"p": 1.0, "l": 1.0, "o": 1.0}
    for sentence in (
        "empty_layouts.parquet is no Parquet file",
        "named_layouts.parquet is no Parquet file",
        "other_layouts.parquet lacks atom_x, atom_y",
        "text_layouts.parquet lacks atom_x",
        "cut_layouts.parquet cannot be read to its end",
        "wide_layouts.parquet cannot be read to its end",
        "bomb_layouts.parquet cannot be read to its end: a column has 2,000,000 values, too many for layouts",
        f"3 layouts left out of file://{arrived}/odd_layouts.parquet: they name no image",
    ):
        assert sentence in caplog.text
