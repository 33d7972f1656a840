"""run_pipeline refuses what it cannot run before it opens Spark; tests/ray/test_pipeline.py shows what it runs."""

import pytest
from pyspark.sql import SparkSession

from jobs import run_pipeline
from lib.errors import SettingsError


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only", "train"], "known here: ingest_images"),
        (["--from", "train"], "known here: ingest_images"),
        (["--set", "spark.cores=2"], r"spark\.cores: unknown setting"),
    ],
)
def test_what_cannot_be_run_is_refused_before_spark_opens(flags: list[str], message: str) -> None:
    before = SparkSession.getActiveSession()  # another test's, in this process
    with pytest.raises(SettingsError, match=message):
        run_pipeline.run_pipeline(run_pipeline.parse_arguments(flags))
    assert SparkSession.getActiveSession() is before
