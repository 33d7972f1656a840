"""Tests of SQL ask the catalog for its tables."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from tests.conftest import generated_code


@pytest.fixture(autouse=True, scope="module")
def listed_tables(spark: SparkSession) -> Iterator[None]:
    with generated_code(spark):
        yield
