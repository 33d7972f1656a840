"""The lake's reads and writes: `pytest tests/spark/lake/test_delta_tables.py`."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyspark.sql.types as T
import pytest

from lib.errors import MissingInputError, SchemaMismatchError
from lib.lake.delta_tables import Lake
from lib.lake.schemas import CAPTIONS, TABLES
from lib.sections.lake import StorageSettings

THEN = datetime(2026, 1, 2, tzinfo=UTC)


def captions(lake: Lake, *rows: tuple[str, str]):
    whole = [(name, 0, text, "file.csv", "train", THEN, 1, name) for name, text in rows]
    return lake.spark.createDataFrame(whole, CAPTIONS.schema)


def content(lake: Lake) -> dict[str, str]:
    return {row.image_id: row.caption for row in lake.read("captions").collect()}


def test_a_table_that_is_not_there_reads_as_no_rows_of_its_schema(lake):
    assert not lake.has("captions")
    assert lake.read("captions").count() == 0
    assert lake.read("captions").columns == CAPTIONS.schema.names
    with pytest.raises(MissingInputError, match=r"no table captions in .*: run ingest_images first"):
        lake.require("captions")


def test_inserting_twice_leaves_one_row_per_key_and_the_first_text(lake):
    lake.insert_new("captions", captions(lake, ("a", "one"), ("b", "two")))
    lake.insert_new("captions", captions(lake, ("a", "other"), ("c", "three")))
    assert content(lake) == {"a": "one", "b": "two", "c": "three"}


def test_an_upsert_replaces_inserts_and_deletes_in_one_commit(lake):
    lake.insert_new("captions", captions(lake, ("a", "one"), ("b", "two")))
    log = Path(lake.storage.root) / "captions" / "_delta_log"
    before = len(list(log.glob("*.json")))
    rows = captions(lake, ("a", "gone"), ("b", "2"), ("c", "3"), ("d", "gone"))
    lake.upsert("captions", rows, delete_when="new.caption = 'gone'")
    assert content(lake) == {"b": "2", "c": "3"}
    assert len(list(log.glob("*.json"))) == before + 1


def test_replacing_leaves_nothing_of_what_was(lake):
    lake.insert_new("captions", captions(lake, ("a", "one")))
    lake.replace("captions", captions(lake, ("b", "two")))
    assert content(lake) == {"b": "two"}


def test_rows_that_do_not_fit_are_refused_with_every_misfit(lake):
    columns = ["image_id", "'0' as caption_index", "caption", "source", "split", "1 as more"]
    rows = captions(lake, ("a", "one")).selectExpr(*columns)
    with pytest.raises(SchemaMismatchError) as caught:
        lake.insert_new("captions", rows)
    for misfit in ("caption_index: string where int", "ingested_at: missing", "more: int where nothing"):
        assert misfit in str(caught.value)


def test_a_relative_root_is_a_folder_of_where_the_job_was_started(spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = Lake(spark, StorageSettings(root="lake", catalog=None, schema_name=None))
    relative.create("images_rejected")
    assert (tmp_path / "lake" / "images_rejected" / "_delta_log").is_dir()
    assert relative.has("images_rejected")


def test_a_table_of_an_older_version_gets_new_columns_with_their_comments_and_keeps_its_rows(lake, monkeypatch):
    comment = "What the image's caption says in another language, \\ or 'none'."
    newer = T.StructType([*CAPTIONS.schema, T.StructField("other", T.StringType(), metadata={"comment": comment})])
    lake.insert_new("captions", captions(lake, ("a", "one")))
    monkeypatch.setitem(TABLES, "captions", replace(CAPTIONS, schema=newer))
    assert [row.other for row in lake.read("captions").collect()] == [None]
    rows = lake.spark.createDataFrame([("b", 0, "two", "file.csv", "train", THEN, 1, "b", "zwei")], newer)
    lake.insert_new("captions", rows)
    assert {row.image_id: row.other for row in lake.read("captions").collect()} == {"a": None, "b": "zwei"}
    assert lake.read("captions").schema["other"].metadata == {"comment": comment}
    log = Path(lake.storage.root) / "captions" / "_delta_log"
    before = len(list(log.glob("*.json")))
    lake.create("captions")
    assert len(list(log.glob("*.json"))) == before
