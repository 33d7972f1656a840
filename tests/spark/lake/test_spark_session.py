"""The session that jobs get, where a runtime brings its own: `pytest tests/spark/lake/test_spark_session.py`."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lib.lake import spark_session
from lib.lake.spark_session import open_spark
from lib.sections.lake import SparkSettings


@pytest.mark.skipif(
    not (spark_session.CLASS_ARCHIVE.is_file() and Path("/proc/self/maps").is_file()),
    reason="Java could not keep its classes here, or this is no Linux",
)
def test_java_starts_from_the_classes_that_set_up_has_kept(spark: SparkSession) -> None:
    process = spark._jvm.java.lang.ProcessHandle.current().pid()
    assert str(spark_session.CLASS_ARCHIVE) in Path(f"/proc/{process}/maps").read_text()


def test_what_spark_writes_on_the_way_is_for_nobody_else_to_read(spark: SparkSession) -> None:
    folder = Path(spark.sparkContext.getConf().get("spark.local.dir") or "")
    assert any(folder.glob("blockmgr-*"))
    assert folder.stat().st_mode & 0o077 == 0


def test_on_databricks_the_clusters_session_goes_on_with_batches_that_hold_our_images(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {
        key: spark.conf.get(key)
        for key in ("spark.sql.execution.arrow.maxRecordsPerBatch", "spark.sql.session.timeZone")
    }
    monkeypatch.setattr(spark_session, "ON_DATABRICKS", True)
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    try:
        settings = SparkSettings(master="yarn", driver_memory="1g", shuffle_partitions=9, arrow_records_per_batch=77)
        with open_spark(settings, "job") as given:
            assert {key: given.conf.get(key) for key in before} == dict(zip(before, ("77", "UTC"), strict=True))
        assert spark.range(3).count() == 3
    finally:
        for key, value in before.items():
            spark.conf.set(key, value)
