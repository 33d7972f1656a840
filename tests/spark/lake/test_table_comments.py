"""What lib/lake/schemas.py says about tables and columns is what analysts see in Delta."""

from collections.abc import Iterator

import pyspark.sql.types as T
import pytest

from lib.lake.delta_tables import Lake
from lib.lake.schemas import TABLES, Table


def comments(data_type: T.DataType, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(name, comment) of every column, those inside arrays and structs too."""
    if isinstance(data_type, T.ArrayType):
        yield from comments(data_type.elementType, prefix)
    elif isinstance(data_type, T.StructType):
        for field in data_type:
            yield prefix + field.name, field.metadata.get("comment", "")
            yield from comments(field.dataType, f"{prefix}{field.name}.")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_table_and_its_columns_are_described_as_declared(lake: Lake, table: Table) -> None:
    lake.insert_new(table.name, lake.read(table.name))
    described = lake.spark.sql(f"describe table extended delta.`{lake.storage.root}/{table.name}`").collect()
    columns = {row.col_name: row.comment for row in described[: len(table.schema)]}
    assert columns == {field.name: field.metadata["comment"] for field in table.schema}
    assert {row.col_name: row.data_type for row in described}["Comment"] == table.comment
    assert dict(comments(lake.read(table.name).schema)) == dict(comments(table.schema))


def test_comments_outlive_a_replaced_table(lake: Lake) -> None:
    for _ in range(2):
        lake.replace("vocabulary", lake.spark.createDataFrame([], TABLES["vocabulary"].schema))
    assert dict(comments(lake.read("vocabulary").schema)) == dict(comments(TABLES["vocabulary"].schema))
