"""What a job says when the catalog does not let it in: `pytest tests/spark/test_job_refusals.py`."""

import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from lib.job_entry import exit_with_one_sentence
from lib.lake.delta_tables import Lake
from lib.sections.lake import StorageSettings


def lake_in(spark: SparkSession, catalog: str, schema_name: str) -> Lake:
    return Lake(spark, StorageSettings(root="/lake", catalog=catalog, schema_name=schema_name))


def refusal(caplog: pytest.LogCaptureFixture, work) -> str:
    with pytest.raises(SystemExit) as ended:
        exit_with_one_sentence(work)
    assert ended.value.code == 2
    (record,) = (record for record in caplog.records if record.levelname == "ERROR")
    return record.getMessage()


def test_a_wrong_catalog_is_named_with_what_to_ask_for(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    lake = lake_in(spark, "nowhere", "captionlake")
    assert refusal(caplog, lambda: lake.create("captions")) == (
        "SqlRefusedError: There is no catalog nowhere that this session can see: check the setting storage.catalog, "
        "or ask for GRANT USE CATALOG ON CATALOG nowhere TO <you or your group>."
    )


def test_a_wrong_schema_is_named_with_what_to_ask_for(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    assert refusal(caplog, lambda: spark.sql("use nowhere")) == (
        "SqlRefusedError: There is no schema nowhere that this session can see: check the setting storage.schema_name, "
        "or ask for GRANT USE SCHEMA ON SCHEMA nowhere TO <you or your group>."
    )


def test_names_with_any_characters_reach_the_catalog(spark: SparkSession) -> None:
    assert not lake_in(spark, "spark_catalog", "acme-prod").has("captions")
    assert not lake_in(spark, "spark_catalog", "acme`prod").has("captions")


def test_a_missing_right_is_named_with_what_to_ask_for(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        raise AnalysisException("PERMISSION_DENIED: User does not have MODIFY on Table 'main.captionlake.captions'.")

    assert refusal(caplog, work) == (
        "SqlRefusedError: You have no right to MODIFY on table main.captionlake.captions: ask its owner or an "
        "administrator for GRANT MODIFY ON TABLE main.captionlake.captions TO <you or your group>."
    )


def test_any_other_fault_of_spark_keeps_its_traceback(spark: SparkSession) -> None:
    with pytest.raises(AnalysisException, match="no_such_table"):
        exit_with_one_sentence(lambda: spark.table("no_such_table").count())
