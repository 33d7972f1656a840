"""The overview's drift, computed without Spark, is that of the view."""

from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from lib.lake.schemas import CAPTION_PREDICTIONS
from lib.reviewing.caption_quality import PREDICTIONS
from lib.reviewing.confidence_drift import confidence_drift
from lib.sql_folder import SQL
from tests.unit.reviewing.test_confidence_drift import random_rows, row


def test_the_overviews_drift_is_that_of_the_view(spark: SparkSession) -> None:
    rows = [*random_rows(500), *random_rows(70, seed=1), row("test", None), row("test", float("nan"))]
    rows += [row("test", 0.5, model="m2"), row(None, 0.25, 3, "m2")]  # without validation images
    values = [tuple(one.get(name) for name in CAPTION_PREDICTIONS.schema.names) for one in rows]
    spark.createDataFrame(values, CAPTION_PREDICTIONS.schema).createOrReplaceTempView("caption_predictions")
    view = spark.sql((SQL / "views" / "confidence_drift.sql").read_text())
    expected = [found.asDict() for found in view.orderBy("day", "model_version", ascending=False).collect()]
    table = pa.Table.from_pylist(rows, pa.schema(list(PREDICTIONS.items())))
    assert [drift._asdict() for drift in confidence_drift(table)] == [_nearly(one) for one in expected]


def _nearly(row: dict[str, Any]) -> dict[str, Any]:
    return {name: pytest.approx(value) if isinstance(value, float) else value for name, value in row.items()}
