"""What lib/lake/schemas.py says about tables and columns is what analysts see in Delta."""

import pytest

from lib.lake.delta_tables import Lake
from lib.lake.schemas import TABLES, Table
from tests.described_columns import described_columns


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_table_and_its_columns_are_described_as_declared(lake: Lake, table: Table) -> None:
    lake.insert_new(table.name, lake.read(table.name))
    described = lake.spark.sql(f"describe table extended delta.`{lake.storage.root}/{table.name}`").collect()
    columns = {row.col_name: row.comment for row in described[: len(table.schema)]}
    assert columns == {field.name: field.metadata["comment"] for field in table.schema}
    assert {row.col_name: row.data_type for row in described}["Comment"] == table.comment
    assert dict(described_columns(lake.read(table.name).schema)) == dict(described_columns(table.schema))


def test_comments_outlive_a_replaced_table(lake: Lake) -> None:
    for _ in range(2):
        lake.replace("vocabulary", lake.spark.createDataFrame([], TABLES["vocabulary"].schema))
    assert dict(described_columns(lake.read("vocabulary").schema)) == dict(
        described_columns(TABLES["vocabulary"].schema)
    )
