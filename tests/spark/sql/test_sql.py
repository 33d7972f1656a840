"""Every file of sql/ and every query of the dashboard, run on rows that can be reckoned by hand."""

import base64
import json
import time
from collections.abc import Iterator
from datetime import date, datetime
from math import log
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.testing import assertDataFrameEqual

from jobs.create_views import run
from lib.errors import SettingsError
from lib.lake.delta_tables import Lake
from lib.lake.schemas import CAPTION_PREDICTIONS, TABLES
from lib.sections.lake import StorageSettings
from lib.settings import CONF, load_settings
from lib.sql.batch_metrics import write_batch_metrics
from lib.sql.errors import SqlRefusedError
from lib.sql.views import create_views, open_schema, publish_views, read_views
from lib.sql_folder import SQL, sql_folder
from tests.known_molecules import ETHANOL
from tests.spark.analyst_lake import ETHER, METHANE, NIGHT_1, NIGHT_2, PNG, PROTON, SALT, fill

VIEWS = read_views()
DASHBOARD = json.loads((SQL.parent / "conf/dashboards/captions.lvdash.json").read_text())
DATASETS = {dataset["name"]: "".join(dataset["queryLines"]) for dataset in DASHBOARD["datasets"]}
DAY_1, DAY_2 = date(2026, 1, 1), date(2026, 1, 2)
# Fractions with half a caption more in each tenth: of the day 2.5, 1.5 and 0.5 of 8, of validation 1.5 and 0.5 of 6.
PSI = (
    (2.5 / 8 - 1.5 / 6) * log((2.5 / 8) / (1.5 / 6))
    + (1.5 / 8 - 0.5 / 6) * log((1.5 / 8) / (0.5 / 6))
    + 8 * (0.5 / 8 - 0.5 / 6) * log((0.5 / 8) / (0.5 / 6))
)
CONTROLS = (20.0, 16.0), (0.25, 0.5)  # distance and similarity of the constant caption and of shuffled images

# By view: its columns, and its rows.
EXPECTED = {
    "newest_captions": (
        "image_id string, caption string, confidence double, is_valid boolean, "
        "alternatives array<struct<caption: string, score: double>>, reference string, edit_distance int, "
        "similarity double, split string, model_version string, cleaning_version string, predicted_at timestamp",
        [
            ("a", "InChI=1S/C", 0.9, True, [], METHANE, 8, 0.5, "test", "m2", "k1", NIGHT_2),
            ("b", ETHANOL, 1.0, True, [], ETHANOL, 0, 1.0, "test", "m2", "k2", NIGHT_2),
            ("c", None, None, None, [], SALT, None, None, "train", "m1", "k1", NIGHT_1),
            ("d", PROTON, 0.25, False, [], None, None, None, None, "m2", "k1", NIGHT_2),
            ("v", METHANE, 0.9, True, [], METHANE, 0, 1.0, "validation", "m2", "k1", NIGHT_2),
        ],
    ),
    "review_thresholds": (
        "min_confidence double, min_sentence_confidence double, max_alternative_probability double, "
        "min_similarity double",
        [(0.5, 0.3, 0.5, 0.55)],
    ),
    "captions_to_review": (
        "image_id string, reasons string, caption string, reference string, confidence double, is_valid boolean, "
        "edit_distance int, similarity double, split string, model_version string, predicted_at timestamp",
        [
            ("a", "far from the reference", "InChI=1S/C", METHANE, 0.9, True, 8, 0.5, "test", "m2", NIGHT_2),
            ("c", "no caption", None, SALT, None, None, None, None, "train", "m1", NIGHT_1),
            ("d", "invalid, low confidence", PROTON, None, 0.25, False, None, None, None, "m2", NIGHT_2),
        ],
    ),
    "quality_by_model": (
        "model_version string, split string, num_images long, exact_match double, mean_edit_distance double, "
        "constant_caption_distance double, shuffled_pictures_distance double, mean_similarity double, "
        "constant_caption_similarity double, shuffled_pictures_similarity double, similarity_above_chance double, "
        "valid_share double, mean_confidence double, evaluated_at timestamp",
        [
            ("m1", "test", 2, 0.5, 4.5, *CONTROLS[0], 0.75, *CONTROLS[1], 0.25, 0.5, 0.7, NIGHT_1),
            ("m2", "test", 2, 0.5, 4.0, None, 14.0, 0.75, None, 0.25, 0.5, 1.0, 0.95, NIGHT_2),
            ("m4", "test", 1, 0.0, 9.0, 9.0, 9.0, 0.25, 0.25, 0.25, 0.0, None, None, NIGHT_1),
        ],
    ),
    "sentence_quality_by_model": (
        "model_version string, split string, num_sentences long, bleu_1 double, bleu_2 double, bleu_3 double, "
        "bleu_4 double, nearest_neighbour_bleu_4 double, meteor double, rouge_l double, cider double, "
        "constant_caption_cider double, shuffled_pictures_cider double, nearest_neighbour_cider double, "
        "cider_above_controls double, mean_confidence double, evaluated_at timestamp",
        [("m4", "test", 1, *(0.5, 0.25, 0.25, 0.25), 0.125, 0.5, 0.5, *(1.0, 0.125, None, 0.25), 0.75, None, NIGHT_1)],
    ),
    "quality_by_day": (
        "day date, model_version string, split string, num_captions long, num_scored long, exact_match double, "
        "mean_edit_distance double, constant_caption_distance double, shuffled_pictures_distance double, "
        "mean_similarity double, constant_caption_similarity double, shuffled_pictures_similarity double, "
        "valid_share double, mean_confidence double",
        [
            (DAY_1, "m1", "test", 2, 2, 0.5, 4.5, *CONTROLS[0], 0.75, *CONTROLS[1], 0.5, 0.7),
            (DAY_1, "m1", "train", 1, 0, *[None] * 9),
            (DAY_2, "m2", "test", 2, 2, 0.5, 4.0, None, 14.0, 0.75, None, 0.25, 1.0, 0.95),
            (DAY_2, "m2", "validation", 1, 1, 1.0, 0.0, None, None, 1.0, None, None, 1.0, 0.9),
            (DAY_2, "m2", None, 1, 0, *[None] * 7, 0.0, 0.25),
        ],
    ),
    # Tenths: m2's only validation caption fills the first; of the day's, two lie in the first and one in the last.
    "confidence_drift": (
        "day date, model_version string, num_captions long, num_validation_captions long, mean_confidence double, "
        "validation_confidence double, psi double",
        [(DAY_1, "m1", 2, None, 0.7, None, None), (DAY_2, "m2", 3, 1, 2.15 / 3, 0.9, PSI)],
    ),
    "quality_by_caption_length": (
        "model_version string, split string, length_from int, length_to int, num_captions long, exact_match double, "
        "mean_edit_distance double, mean_similarity double, valid_share double, mean_confidence double",
        [
            ("m1", "test", 0, 24, 1, 1.0, 0.0, 1.0, 1.0, 0.9),
            ("m1", "test", 25, 49, 1, 0.0, 9.0, 0.5, 0.0, 0.5),
            ("m2", "test", 0, 24, 1, 0.0, 8.0, 0.5, 1.0, 0.9),
            ("m2", "test", 25, 49, 1, 1.0, 0.0, 1.0, 1.0, 1.0),
            ("m2", "validation", 0, 24, 1, 1.0, 0.0, 1.0, 1.0, 0.9),
        ],
    ),
    "quality_by_confidence": (
        "model_version string, split string, confidence_from double, confidence_to double, num_captions long, "
        "mean_confidence double, exact_match double, mean_similarity double, valid_share double",
        [
            ("m1", "test", 0.5, 0.6, 1, 0.5, 0.0, 0.5, 0.0),
            ("m1", "test", 0.9, 1.0, 1, 0.9, 1.0, 1.0, 1.0),
            ("m2", "test", 0.9, 1.0, 2, 0.95, 0.5, 0.75, 1.0),  # a confidence of 1 is in no row of its own
            ("m2", "validation", 0.9, 1.0, 1, 0.9, 1.0, 1.0, 1.0),
        ],
    ),
    "standing_reviews": (
        "image_id string, model_version string, caption string, verdict string, rating int, corrected_caption string, "
        "reviewer string, reviewed_at timestamp",
        [
            ("a", "m1", METHANE, "accept", 5, None, "anna", NIGHT_2),
            ("a", "m1", METHANE, "accept", 4, None, "bert", NIGHT_1),
            ("b", "m1", ETHER, "correct", None, ETHANOL, "anna", NIGHT_1),
            ("b", "m1", ETHER, "accept", None, None, "bert", NIGHT_1),
            ("c", "m1", METHANE, "accept", None, None, "anna", NIGHT_1),
            ("d", "m2", PROTON, "skip", None, None, "anna", NIGHT_2),
        ],
    ),
    "precision_by_confidence": (
        "model_version string, confidence_from double, confidence_to double, num_captions long, "
        "mean_confidence double, precision double, mean_rating double",
        [("m1", 0.5, 0.6, 1, 0.5, 0.5, None), ("m1", 0.9, 1.0, 1, 0.9, 1.0, 4.5)],
    ),
    "agreement_of_reviewers": (
        "reviewer string, other_reviewer string, num_captions long, agreement double, agreement_by_chance double, "
        "kappa double",
        [("anna", "bert", 2, 0.5, 0.5, 0.0)],
    ),
    "rejects_by_reason": (
        "stage string, reason string, num_rejected long, share_of_pictures double, first_rejected_at timestamp, "
        "last_rejected_at timestamp, example_source string, example_detail string",
        [
            ("ingest", "empty_file", 2, 2 / 6, NIGHT_1, NIGHT_2, "in/y.png", "no byte"),
            ("clean", "blank_image", 1, 1 / 4, NIGHT_1, NIGHT_1, "in/c.png", "no ink"),
            ("captions", "other_notation", 5, None, NIGHT_2, NIGHT_2, "in/labels.csv row 9", "a dog"),
        ],
    ),
    "molecule_finder": (
        "image_id string, found_in string, formula string, inchi string, is_valid boolean, confidence double, "
        "model_version string",
        [
            ("a", "reference", "CH4", METHANE, None, None, None),
            ("b", "reference", "C2H6O", ETHANOL, None, None, None),
            ("c", "reference", "2ClH.Zn", SALT, None, None, None),
            ("a", "prediction", "C", "InChI=1S/C", True, 0.9, "m2"),
            ("b", "prediction", "C2H6O", ETHANOL, True, 1.0, "m2"),
            ("d", "prediction", "", PROTON, False, 0.25, "m2"),
            ("v", "prediction", "CH4", METHANE, True, 0.9, "m2"),
        ],
    ),
    "caption_history": (
        "image_id string, version_number int, model_version string, caption string, caption_before string, "
        "is_changed boolean, confidence double, is_valid boolean, reference string, edit_distance int, "
        "edit_distance_change int, similarity double, split string, cleaning_version string, predicted_at timestamp",
        [
            ("a", 1, "m1", METHANE, None, None, 0.9, True, METHANE, 0, None, 1.0, "test", "k1", NIGHT_1),
            ("a", 2, "m2", "InChI=1S/C", METHANE, True, 0.9, True, METHANE, 8, 8, 0.5, "test", "k1", NIGHT_2),
            ("b", 1, "m1", ETHER, None, None, 0.5, False, ETHANOL, 9, None, 0.5, "test", "k1", NIGHT_1),
            ("b", 2, "m2", ETHANOL, ETHER, True, 1.0, True, ETHANOL, 0, -9, 1.0, "test", "k2", NIGHT_2),
            ("c", 1, "m1", None, None, None, None, None, SALT, None, None, None, "train", "k1", NIGHT_1),
            ("d", 1, "m2", PROTON, None, None, 0.25, False, None, None, None, None, None, "k1", NIGHT_2),
            ("v", 1, "m2", METHANE, None, None, 0.9, True, METHANE, 0, None, 1.0, "validation", "k1", NIGHT_2),
        ],
    ),
    "model_lineage": (
        "model_version string, num_epochs int, num_steps int, num_workers int, last_validation_loss double, "
        "trained_from timestamp, trained_to timestamp, num_captions long, cleaning_versions array<string>, "
        "predicted_from timestamp, predicted_to timestamp",
        [
            ("m1", 2, 20, 2, 1.5, NIGHT_1, NIGHT_2, 3, ["k1"], NIGHT_1, NIGHT_1),
            ("m2", None, None, None, None, None, None, 4, ["k1", "k2"], NIGHT_2, NIGHT_2),
            ("m3", 1, 10, 1, None, NIGHT_2, NIGHT_2, 0, None, None, None),
        ],
    ),
}


@pytest.fixture(scope="module")
def analysts(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """The lake with its tables and views under bare names, as an analyst meets it."""
    folder = tmp_path_factory.mktemp("analyst's lake")  # a quote in the path is the hard case
    lake = Lake(spark, StorageSettings(root=str(folder), catalog=None, schema_name=None))
    fill(lake)
    spark.sql(f"create database analysts location '{tmp_path_factory.mktemp('analysts')}'")
    spark.catalog.setCurrentDatabase("analysts")
    open_schema(lake)
    assert create_views(spark, VIEWS) == [view.name for view in VIEWS]
    yield lake
    spark.catalog.setCurrentDatabase("default")
    spark.sql("drop database analysts cascade")


def expected_rows(spark: SparkSession, name: str) -> DataFrame:
    columns, rows = EXPECTED[name]
    return spark.createDataFrame(rows, columns)


def test_every_file_is_among_those_tested() -> None:
    tested = {f"views/{name}.sql" for name in EXPECTED} | {
        f"queries/{name}.sql" for name in ("captions_changed_since", "commits_of_captions")
    }
    assert {path.relative_to(SQL).as_posix() for path in SQL.rglob("*") if path.is_file()} == tested


@pytest.mark.parametrize("path", sorted(SQL.rglob("*.sql")), ids=lambda path: path.stem)
def test_every_file_opens_with_one_sentence_for_whom_it_is(path: Path) -> None:
    first, second = path.read_text().splitlines()[:2]
    assert first.startswith("-- For ")
    assert first.endswith((".", "?"))
    assert second == "--" or not second.startswith("--")


@pytest.mark.parametrize("name", [view.name for view in VIEWS])
def test_a_view_has_the_rows_that_were_reckoned_by_hand(analysts: Lake, name: str) -> None:
    assertDataFrameEqual(analysts.spark.table(name), expected_rows(analysts.spark, name))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_and_each_of_its_columns_are_explained_in_the_catalog(analysts: Lake, view) -> None:
    described = analysts.spark.sql(f"describe table extended {view.name}").collect()
    names = analysts.spark.table(view.name).columns
    comments = {row.col_name: row.comment for row in described[: len(names)]}
    assert [name for name in names if not (comments[name] or "").endswith(".")] == []
    assert {row.col_name: row.data_type for row in described}["Comment"] == view.comment
    assert set(view.column_comments) <= set(names), "a column is explained that the view does not have"


def test_sentences_are_reviewed_by_a_confidence_of_their_own_and_not_for_their_distance(analysts: Lake) -> None:
    columns = ("image_id", "caption", "reference", "confidence", "similarity")
    rows = [("p", "a dog", "a big cat", 0.9, 0.2), ("q", "dog", "a cat", 0.2, 0.2), ("r", SALT, METHANE, 0.9, 0.2)]
    rows += [("s", "a dog runs", None, 0.4, None), ("t", "a dog", None, 0.2, None)]
    newest = analysts.spark.table("newest_captions").limit(0)
    analysts.spark.createDataFrame(
        [Row(**dict.fromkeys(newest.columns) | dict(zip(columns, row, strict=True))) for row in rows], newest.schema
    ).createOrReplaceTempView("made_up_captions")
    text = (SQL / "views/captions_to_review.sql").read_text()
    seen = analysts.spark.sql(text.replace("from newest_captions", "from made_up_captions as newest_captions"))
    assert {row.image_id: row.reasons for row in seen.collect()} == {
        "q": "low confidence",
        "r": "far from the reference",
        "t": "low confidence",
    }


def test_what_another_reading_disputes_is_reviewed(analysts: Lake) -> None:
    columns = ("image_id", "caption", "confidence", "alternatives")
    rows = [("p", SALT, 0.9, [(ETHER, log(0.6)), (METHANE, log(0.3))]), ("q", SALT, 0.9, [(ETHER, log(0.49))])]
    rows += [("r", SALT, 0.9, []), ("s", SALT, 0.4, [(ETHER, log(0.6))]), ("t", "a dog", 0.9, [("a cat", log(0.6))])]
    newest = analysts.spark.table("newest_captions").limit(0)
    analysts.spark.createDataFrame(
        [Row(**dict.fromkeys(newest.columns) | dict(zip(columns, row, strict=True))) for row in rows], newest.schema
    ).createOrReplaceTempView("made_up_captions")
    text = (SQL / "views/captions_to_review.sql").read_text()
    seen = analysts.spark.sql(text.replace("from newest_captions", "from made_up_captions as newest_captions"))
    assert {row.image_id: row.reasons for row in seen.collect()} == {"p": "disputed", "s": "low confidence, disputed"}


def test_putting_the_views_in_place_writes_nothing_into_the_lake(analysts: Lake) -> None:
    for name in TABLES:
        if analysts.has(name):
            operations = analysts.spark.sql(f"describe history {name}").select("operation").collect()
            assert {row.operation for row in operations} == {"CREATE TABLE", "WRITE"}


def test_commits_of_captions_says_when_each_version_was_written(analysts: Lake) -> None:
    commits = analysts.spark.sql((SQL / "queries/commits_of_captions.sql").read_text())
    expected = analysts.spark.createDataFrame([(1, "WRITE"), (0, "CREATE TABLE")], "version long, operation string")
    assertDataFrameEqual(commits.select("version", "operation"), expected)


def test_captions_changed_since_tells_new_changed_and_gone_rows(spark: SparkSession, tmp_path: Path) -> None:
    lake = Lake(spark, StorageSettings(root=str(tmp_path), catalog=None, schema_name=None))

    def predict(*captions: tuple[str, str]) -> None:
        rows = [(name, "m1", text, None, None, [], None, None, None, None, "k1", NIGHT_1) for name, text in captions]
        lake.upsert("caption_predictions", spark.createDataFrame(rows, CAPTION_PREDICTIONS.schema))

    predict(("same", "x"), ("changed", "x"), ("gone", "x"))
    path = tmp_path / "caption_predictions"
    since = spark.sql(f"describe history delta.`{path}`").agg({"timestamp": "max"}).first()[0]
    predict(("changed", "y"), ("new", "y"))
    spark.sql(f"delete from delta.`{path}` where image_id = 'gone'")
    # The file reads a bare name, as an analyst does: here that of this test's folder.
    text = (SQL / "queries/captions_changed_since.sql").read_text().replace("caption_predictions ", f"delta.`{path}` ")
    expected = spark.createDataFrame(
        [("changed", "changed", "x", "y"), ("gone", "gone", "x", None), ("new", "new", None, "y")],
        "image_id string, what_happened string, caption_before string, caption string",
    )
    seen = spark.sql(text, args={"since": str(since)})
    assertDataFrameEqual(seen.select(*expected.columns), expected)


def test_the_batch_jobs_metrics_are_figures_of_tables_and_views(analysts: Lake) -> None:
    lines = write_batch_metrics(analysts, "m2").read_text().splitlines()
    values = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}
    assert values.pop("captionlake_batch_time_seconds") == pytest.approx(time.time(), abs=600)
    assert values == {
        'captionlake_rows{table="images_raw"}': 4,
        'captionlake_rows{table="images_clean"}': 1,
        'captionlake_rows{table="captions"}': 4,
        'captionlake_rows{table="caption_predictions"}': 7,
        'captionlake_rejected{stage="clean",reason="blank_image"}': 1,
        'captionlake_rejected{stage="ingest",reason="empty_file"}': 2,
        'captionlake_rejected{stage="captions",reason="other_notation"}': 5,
        'captionlake_exact_match{model_version="m2",split="test"}': 0.5,
        'captionlake_mean_edit_distance{model_version="m2",split="test"}': 4.0,
    }


def test_the_drift_is_that_of_the_newest_day_with_captions_enough_to_tell(spark: SparkSession, tmp_path: Path) -> None:
    lake = Lake(spark, StorageSettings(root=str(tmp_path), catalog=None, schema_name=None))

    def drift_with(day: datetime, split: str, num_captions: int) -> list[str]:
        rows = [
            (f"{split} {day} {number}", "m1", "x", number / 1000, True, [], None, None, None, split, "k1", day)
            for number in range(num_captions)
        ]
        lake.upsert("caption_predictions", spark.createDataFrame(rows, CAPTION_PREDICTIONS.schema))
        lines = write_batch_metrics(lake, "m1").read_text().splitlines()
        return [line for line in lines if line.startswith("captionlake_confidence_psi")]

    assert drift_with(NIGHT_1, "validation", 199) == []
    assert drift_with(NIGHT_1, "test", 250) == []
    (drift,) = drift_with(NIGHT_2, "validation", 1)
    assert drift_with(NIGHT_2, "test", 199) == [drift]


def test_a_molecule_is_found_by_formula_and_by_a_piece_of_its_inchi(analysts: Lake) -> None:
    by_formula = analysts.spark.sql("select image_id, found_in from molecule_finder where formula = 'C2H6O'")
    by_piece = analysts.spark.sql("select image_id, found_in from molecule_finder where contains(inchi, '/h2*1H')")
    columns = "image_id string, found_in string"
    assertDataFrameEqual(by_formula, analysts.spark.createDataFrame([("b", "reference"), ("b", "prediction")], columns))
    assertDataFrameEqual(by_piece, analysts.spark.createDataFrame([("c", "reference")], columns))


@pytest.mark.parametrize("name", DATASETS)
def test_a_query_of_the_dashboard_runs_and_finds_rows(analysts: Lake, name: str) -> None:
    assert analysts.spark.sql(DATASETS[name]).count() > 0


def test_the_dashboard_shows_the_image_to_review_as_a_link_that_holds_it(analysts: Lake) -> None:
    images = {row.image_id: row.image for row in analysts.spark.sql(DATASETS["review"]).collect()}
    assert images.keys() == {"a", "c", "d"}
    head, _, image = images["d"].partition(",")
    assert (head, base64.b64decode(image, validate=True)) == ("data:image/png;base64", PNG)


def test_the_dashboards_totals_are_those_of_the_newest_captions_and_model(analysts: Lake) -> None:
    expected = analysts.spark.createDataFrame(
        [(5, 3, 3, 0.5)], "num_captioned long, num_to_review long, num_rejected long, similarity_above_chance double"
    )
    assertDataFrameEqual(analysts.spark.sql(DATASETS["totals"]), expected)


def test_the_dashboards_rejects_and_confidences_are_those_of_their_views(analysts: Lake) -> None:
    rejects = analysts.spark.createDataFrame(
        [
            ("ingest", "empty_file", 2, 2 / 6, NIGHT_2, "in/y.png", "no byte"),
            ("clean", "blank_image", 1, 1 / 4, NIGHT_1, "in/c.png", "no ink"),
            ("captions", "other_notation", 5, None, NIGHT_2, "in/labels.csv row 9", "a dog"),
        ],
        "stage string, reason string, num_rejected long, share_of_pictures double, last_rejected_at timestamp, "
        "example_source string, example_detail string",
    )
    confidences = analysts.spark.createDataFrame(
        [("m1", "test", 0.5, 1, 0.0, 0.5), ("m1", "test", 0.9, 1, 1.0, 1.0), ("m2", "test", 0.9, 2, 0.5, 0.75)],
        "model_version string, split string, confidence_from double, num_captions long, exact_match double, "
        "mean_similarity double",
    )
    assertDataFrameEqual(analysts.spark.sql(DATASETS["rejects"]), rejects)
    assertDataFrameEqual(analysts.spark.sql(DATASETS["confidences"]), confidences)


def test_the_dashboards_scores_are_those_of_the_model_beside_the_controls(analysts: Lake) -> None:
    expected = analysts.spark.createDataFrame(
        [
            (DAY_1, "model", 0.75, 4.5),
            (DAY_1, "constant caption", 0.25, 20.0),
            (DAY_1, "shuffled images", 0.5, 16.0),
            (DAY_2, "model", 0.75, 4.0),
            (DAY_2, "shuffled images", 0.25, 14.0),
        ],
        "day date, captions_by string, similarity double, edit_distance double",
    )
    assertDataFrameEqual(analysts.spark.sql(DATASETS["scores_by_day"]).select(*expected.columns), expected)


WIDGETS = {
    entry["widget"]["name"]: entry["widget"]["queries"]
    for page in DASHBOARD["pages"]
    for entry in page["layout"]
    if "queries" in entry["widget"]
}


@pytest.mark.parametrize("name", WIDGETS)
def test_a_widget_of_the_dashboard_can_compute_its_fields(analysts: Lake, name: str) -> None:
    for query in (entry["query"] for entry in WIDGETS[name]):
        fields = ", ".join(f"{field['expression']} as `{field['name']}`" for field in query["fields"])
        grouped = "" if query["disaggregated"] else " group by all"
        rows = analysts.spark.sql(f"select {fields} from ({DATASETS[query['datasetName']]}){grouped}").collect()
        assert [field["name"] for field in query["fields"] if all(row[field["name"]] is None for row in rows)] == []


def test_views_are_published_to_a_catalog_twice_with_the_same_end(spark: SparkSession, tmp_path: Path) -> None:
    spark.sql(f"create database published location '{tmp_path}'")
    before = spark.catalog.currentDatabase()
    try:
        lake = Lake(spark, StorageSettings(root=str(tmp_path), catalog="spark_catalog", schema_name="published"))
        assert publish_views(lake) == publish_views(lake) == [view.name for view in VIEWS]
        assert spark.sql("select * from published.captions_to_review").count() == 0
    finally:
        spark.catalog.setCurrentDatabase(before)
        spark.sql("drop database published cascade")


@pytest.mark.parametrize(
    ("catalog", "schema_name", "sentence"),
    [
        ("nowhere", "published", "no catalog nowhere .*: check the setting storage.catalog, or ask for GRANT"),
        ("spark_catalog", "nowhere", "no schema nowhere .*: check the setting storage.schema_name, or ask for GRANT"),
        ("spark_catalog", "acme-prod", "no schema acme-prod .*: check the setting storage.schema_name"),
        ("acme-prod", "published", "no catalog acme-prod .*: check the setting storage.catalog"),
    ],
)
def test_a_wrong_catalog_or_schema_names_its_setting(
    spark: SparkSession, tmp_path: Path, catalog: str, schema_name: str, sentence: str
) -> None:
    lake = Lake(spark, StorageSettings(root=str(tmp_path), catalog=catalog, schema_name=schema_name))
    with pytest.raises(SqlRefusedError, match=sentence):
        publish_views(lake)


def test_without_a_catalog_the_job_says_where_the_views_are_made(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        run(spark, load_settings("molecules", "local"))
    assert "storage.catalog is null, and `make sql` creates the views when it starts" in caplog.text


def test_the_job_reads_the_views_beside_its_settings(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "conf").symlink_to(CONF)
    overrides = ["storage.catalog=spark_catalog", "storage.schema_name=default"]
    with pytest.raises(SettingsError, match=f"there are no views in {tmp_path}/sql/views"):
        run(spark, load_settings("molecules", "local", overrides, tmp_path / "conf"))


def test_the_views_lie_beside_the_settings_and_are_missed_where_they_do_not(tmp_path: Path) -> None:
    assert sql_folder(None) == SQL
    assert sql_folder(str(SQL.parent / "conf")) == SQL
    with pytest.raises(SettingsError, match="the folder sql must lie beside the folder conf"):
        read_views(sql_folder(str(tmp_path / "conf")))
