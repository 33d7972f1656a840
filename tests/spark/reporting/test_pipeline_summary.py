"""The summary that ends a pipeline run: what is counted, what is warned of, which scores are shown."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lib.lake.delta_tables import Lake
from lib.lake.schemas import TABLES
from lib.reporting.pipeline_summary import PipelineSummary, print_summary, summarise_pipeline, whereabouts_of_images
from lib.sections.lake import StorageSettings

NOON, EVENING = datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 11, 20, 18, tzinfo=UTC)


def insert(lake: Lake, table: str, *rows: dict[str, object]) -> None:
    """Rows with null in every column that they do not name."""
    schema = TABLES[table].schema
    values = [tuple(row.get(column) for column in schema.names) for row in rows]
    lake.insert_new(table, lake.spark.createDataFrame(values, schema))


def evaluation(model: str, split: str, predictor: str, exact: float | None, when: datetime) -> dict[str, object]:
    return {
        "model_version": model,
        "split": split,
        "predictor": predictor,
        "num_images": 4,
        "exact_match": exact,
        "mean_edit_distance": 12.25,
        "mean_similarity": 0.875,
        "evaluated_at": when,
    }


def summary(num_raw: int, num_clean: int, num_rejected: int) -> PipelineSummary:
    num_rows = {"images_raw": num_raw, "images_clean": num_clean}
    return PipelineSummary(num_rows, {"ingest": 7, "clean": num_rejected}, [], "lake", {})


@pytest.fixture(scope="module")
def filled(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(spark, StorageSettings(root=str(tmp_path_factory.mktemp("lake")), catalog=None, schema_name=None))
    insert(lake, "images_raw", *({"image_id": name} for name in "abc"))
    insert(lake, "images_clean", {"image_id": "a"}, {"image_id": "b"})
    insert(
        lake,
        "images_rejected",
        {"image_id": "c", "stage": "clean", "reason": "blank_image", "source": "c.png"},
        {"image_id": "d", "stage": "ingest", "reason": "blank_image", "source": "d.png"},
        {"image_id": "e", "stage": "ingest", "reason": "blank_image", "source": "e.png"},
    )
    insert(
        lake,
        "evaluations",
        evaluation("old", "test", "model", 0.25, NOON),
        evaluation("new", "test", "model", 0.5, EVENING),
        evaluation("new", "test", "shuffled_pictures", None, EVENING),
        evaluation("new", "test", "constant_caption", 0.0, EVENING),
    )
    return lake


def test_rows_are_counted_per_table_and_rejections_per_stage(filled: Lake) -> None:
    counted = summarise_pipeline(filled, None)
    assert counted.num_rows == {
        "images_raw": 3,
        "images_clean": 2,
        "captions": 0,
        "vocabulary": 0,
        "caption_predictions": 0,
    }
    assert counted.num_rejected == {"ingest": 2, "clean": 1}


def test_scores_are_those_of_the_model_in_use_with_its_controls(filled: Lake) -> None:
    rows = summarise_pipeline(filled, "new").evaluations
    shown = [(row.model_version, row.predictor, row.exact_match) for row in rows]
    assert shown == [("new", "model", 0.5), ("new", "constant_caption", 0.0), ("new", "shuffled_pictures", None)]


def test_the_printed_summary_shows_rows_scores_controls_and_the_report(
    filled: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(filled.storage.root) / "reports").mkdir()
    (Path(filled.storage.root) / "reports" / "new.html").touch()
    print_summary(filled, "new")
    printed = capsys.readouterr().out
    assert "Rejected: 3 blank_image. The table images_rejected" in printed
    cells = [[cell.strip() for cell in line.strip("│┃ ").split("│")] for line in printed.splitlines()]
    assert ["images_raw", "3"] in cells
    assert ["images_rejected at clean", "1"] in cells
    assert ["test", "model", "4", "0.500", "12.2", "0.875"] in cells
    assert ["test", "constant caption", "4", "0.000", "12.2", "0.875"] in cells
    assert ["test", "shuffled images", "4", "none", "12.2", "0.875"] in cells
    assert f"Report: {filled.storage.root}/reports/new.html" in printed.splitlines()


def test_before_the_first_run_the_summary_is_all_zero_and_says_that_there_are_no_scores(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    print_summary(lake, None)
    printed = capsys.readouterr().out
    assert "Every image is accounted for: 0 raw = 0 clean + 0 rejected at clean." in printed.splitlines()
    assert "No scores: no captioned image" in printed


def test_an_image_that_is_neither_clean_nor_rejected_is_warned_of() -> None:
    assert whereabouts_of_images(summary(1_010, 1_000, 10)) == (
        "Every image is accounted for: 1,010 raw = 1,000 clean + 10 rejected at clean."
    )
    assert whereabouts_of_images(summary(1_012, 1_000, 10)) == (
        "Warning: 1,012 raw is not 1,000 clean + 10 rejected at clean (difference 2): run clean_images."
    )
