"""Scores and controls against distances counted by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyspark.sql.functions as F
import pytest
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from lib.captions.nearest_image import central_caption, direction_of, nearest
from lib.captions.nearest_neighbour import neighbour_captions
from lib.captions.scores import best_constant_caption, evaluate_captions, scores_by_predictor, with_scores
from lib.captions.train_images import read_train_images
from lib.errors import MissingInputError
from lib.images.packed_features import pack_features
from lib.lake.delta_rows import DeltaRows
from lib.lake.delta_tables import Lake
from lib.lake.schemas import CAPTION_PREDICTIONS, CAPTIONS, IMAGE_FEATURES, IMAGES_CLEAN

LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)
PREDICTED = "image_id string, caption string, is_valid boolean, confidence double"
PERCENTS = ("p05", "p25", "p50", "p75", "p95")
TRAIN = [(name, 0, name, "train") for name in ("aaaa", "aaab", "aabb", "zzzz")]  # aaab is nearest to all: 1 + 0 + 1 + 4


def captions_of(spark: SparkSession, rows: list[tuple]) -> DataFrame:
    whole = [(*row[:3], "captions.csv", row[3], LONG_AGO, 1, row[0]) for row in rows]
    return spark.createDataFrame(whole, CAPTIONS.schema)


def predict(lake: Lake, rows: list[tuple], model_version: str = "m1", predicted_at: datetime = LONG_AGO) -> None:
    """Write predictions as predict_captions does."""
    scored = with_scores(lake.spark.createDataFrame(rows, PREDICTED), lake.read("captions"))
    values = [
        (
            row.image_id,
            model_version,
            row.caption,
            row.confidence,
            row.is_valid,
            [],
            row.reference,
            row.edit_distance,
            row.similarity,
            row.split,
            "c1",
            predicted_at,
        )
        for row in scored.collect()
    ]
    lake.upsert("caption_predictions", lake.spark.createDataFrame(values, CAPTION_PREDICTIONS.schema))


def num_commits(lake: Lake) -> int:
    return DeltaTable.forPath(lake.spark, f"{lake.storage.root}/evaluations").history().count()


def scores_of_model(lake: Lake) -> list[tuple[int, float]]:
    of_model = lake.read("evaluations").where("predictor = 'model'")
    return [(row.num_images, row.exact_match) for row in of_model.collect()]


def test_nearest_of_several_references_counts_and_what_is_missing_stays_null(spark: SparkSession) -> None:
    captions = captions_of(
        spark,
        [
            ("two", 0, "kitten", "test"),
            ("two", 1, "sitting", "test"),
            ("tie", 0, "cat", "test"),
            ("tie", 1, "bat", "test"),
            ("empty", 0, "", "train"),
            ("one", 0, "abc", "validation"),
        ],
    )
    predicted = spark.createDataFrame(
        [
            ("two", "sittin", 0.1),
            ("tie", "rat", 0.2),
            ("empty", "", 0.3),
            ("one", "", 0.4),
            ("one", None, 0.5),
            ("new", "abc", None),
        ],
        "image_id string, caption string, confidence double",
    )
    expected = spark.createDataFrame(
        [
            ("two", "sittin", 0.1, "sitting", 1, 1 - 1 / 7, "test"),
            ("tie", "rat", 0.2, "cat", 1, 1 - 1 / 3, "test"),
            ("empty", "", 0.3, "", 0, 1.0, "train"),
            ("one", "", 0.4, "abc", 3, 0.0, "validation"),
            ("one", None, 0.5, "abc", None, None, "validation"),
            ("new", "abc", None, None, None, None, None),
        ],
        "image_id string, caption string, confidence double, "
        "reference string, edit_distance int, similarity double, split string",
    )
    assertDataFrameEqual(with_scores(predicted, captions), expected)


def test_constant_control_is_the_train_caption_nearest_to_the_others(spark: SparkSession) -> None:
    captions = captions_of(spark, [*TRAIN, ("t", 0, "zzzz", "test"), ("u", 0, "zzzz", "test")])
    assert best_constant_caption(captions) == "aaab"
    assert best_constant_caption(captions.where("split = 'test'")) is None


def test_model_and_controls_are_scored_on_each_split(lake: Lake) -> None:
    lake.insert_new(
        "captions",
        captions_of(
            lake.spark, [*TRAIN, ("t1", 0, "aaab", "test"), ("t2", 0, "aabb", "test"), ("v1", 0, "", "validation")]
        ),
    )
    predict(
        lake,
        [("t1", "aaab", True, 0.75), ("t2", "aabc", None, 0.25), ("v1", "x", False, 0.5), ("new", "aaab", True, 0.5)],
    )
    evaluate_captions(lake, "m1")
    # Two images swap captions: aabc is 2 from aaab, aaab is 1 from aabb. One image has nobody to swap with.
    expected = lake.spark.createDataFrame(
        [
            ("m1", "test", "model", 2, 0.5, 0.5, 0.875, 1.0, 0.5, None),
            ("m1", "test", "constant_caption", 2, 0.5, 0.5, 0.875, None, None, "aaab"),
            ("m1", "test", "shuffled_pictures", 2, 0.0, 1.5, 0.625, None, None, None),
            ("m1", "validation", "model", 1, 0.0, 1.0, 0.0, 0.0, 0.5, None),
            ("m1", "validation", "constant_caption", 1, 0.0, 4.0, 0.0, None, None, "aaab"),
            ("m1", "validation", "shuffled_pictures", 0, None, None, None, None, None, None),
        ],
        "model_version string, split string, predictor string, num_images long, exact_match double, "
        "mean_edit_distance double, mean_similarity double, valid_share double, mean_confidence double, "
        "control_caption string",
    )
    assertDataFrameEqual(lake.read("evaluations").select(*expected.columns), expected)


def test_percentiles_are_exact_and_interpolated(lake: Lake) -> None:
    lake.insert_new("captions", captions_of(lake.spark, [(name, 0, "aaaa", "test") for name in ("p", "q", "r")]))
    predict(lake, [("p", "aaaa", None, None), ("q", "aaab", None, None), ("r", "bb", None, None)])  # 0, 1, 4 edits
    evaluate_captions(lake, "m1")
    expected = lake.spark.createDataFrame(
        [("edit_distance", 0.1, 0.5, 1.0, 2.5, 3.7), ("similarity", 0.075, 0.375, 0.75, 0.875, 0.975)],
        "measure string, p05 double, p25 double, p50 double, p75 double, p95 double",
    )
    of_model = lake.read("evaluations").where("predictor = 'model'")
    seen = [
        of_model.select(F.lit(measure).alias("measure"), *(F.col(f"{measure}_{name}").alias(name) for name in PERCENTS))
        for measure in ("edit_distance", "similarity")
    ]
    assertDataFrameEqual(seen[0].unionAll(seen[1]), expected)


def test_shuffled_control_never_scores_an_image_by_its_own_caption(spark: SparkSession) -> None:
    names = [f"image {number}" for number in range(7)]
    captions = captions_of(spark, [(name, 0, name, "test") for name in names])
    predicted = spark.createDataFrame([(name, name, True, 1.0) for name in names], PREDICTED)
    scores = scores_by_predictor(with_scores(predicted, captions), captions, None)
    expected = spark.createDataFrame([(name, 1) for name in names], "image_id string, edit_distance int")
    assertDataFrameEqual(scores.where("predictor = 'shuffled_pictures'").select("image_id", "edit_distance"), expected)


@pytest.mark.slow
def test_a_run_with_nothing_new_commits_nothing_and_new_scores_replace_old_ones(lake: Lake) -> None:
    lake.insert_new("captions", captions_of(lake.spark, [("t1", 0, "aaaa", "test"), ("t2", 0, "bbbb", "test")]))
    predict(lake, [("t1", "aaab", None, None)])
    evaluate_captions(lake, "m1")
    after_first = num_commits(lake)
    evaluate_captions(lake, "m1")
    assert num_commits(lake) == after_first

    predict(lake, [("t2", "bbbb", None, None)])
    evaluate_captions(lake, "m1")
    predict(lake, [("t1", "aaaa", None, None)])  # dated before the evaluation, as what a slow commit brings
    evaluate_captions(lake, "m1")
    lake.upsert("captions", captions_of(lake.spark, [("t2", 0, "bbbc", "test")]))  # as old as all others
    evaluate_captions(lake, "m1")
    assert num_commits(lake) == after_first + 3
    assert scores_of_model(lake) == [(1, 1.0)]  # t2 was scored by a reference that stands no more

    predict(lake, [("t2", "bbbb", None, None)])
    evaluate_captions(lake, "m1")
    assert scores_of_model(lake) == [(2, 0.5)]


@pytest.mark.slow
def test_references_that_went_are_in_no_score_of_model_or_controls(lake: Lake) -> None:
    lake.insert_new(
        "captions",
        captions_of(
            lake.spark, [("t1", 0, "aaaa", "test"), ("t2", 0, "bbbb", "test"), ("v1", 0, "cccc", "validation")]
        ),
    )
    predict(lake, [("t1", "aaaa", None, None), ("t2", "bbba", None, None), ("v1", "cccc", None, None)])
    evaluate_captions(lake, "m1")
    lake.replace("captions", captions_of(lake.spark, [("t1", 0, "aaaa", "test")]))
    evaluate_captions(lake, "m1")
    rows = lake.read("evaluations").where("predictor != 'shuffled_pictures'").collect()
    assert {(row.split, row.predictor, row.num_images) for row in rows} == {
        ("test", "model", 1),
        ("test", "constant_caption", 0),
    }
    lake.replace("captions", captions_of(lake.spark, []))
    evaluate_captions(lake, "m1")
    assert lake.read("evaluations").isEmpty()
    after = num_commits(lake)
    evaluate_captions(lake, "m1")
    assert num_commits(lake) == after


@pytest.mark.slow
def test_each_model_is_evaluated_by_its_own_captions(lake: Lake) -> None:
    lake.insert_new("captions", captions_of(lake.spark, [("t1", 0, "aaaa", "test")]))
    predict(lake, [("t1", "aaab", None, None)], "old")
    predict(lake, [("t1", "aaaa", None, None)], "new", LONG_AGO + timedelta(days=1))
    evaluate_captions(lake, "new")
    evaluate_captions(lake, "old")
    expected = lake.spark.createDataFrame([("new", 1.0), ("old", 0.75)], "model_version string, mean_similarity double")
    assertDataFrameEqual(
        lake.read("evaluations").where("predictor = 'model'").select("model_version", "mean_similarity"), expected
    )


def test_without_predictions_the_job_to_run_first_is_named(lake: Lake) -> None:
    with pytest.raises(MissingInputError, match="predict_captions"):
        evaluate_captions(lake, "m1")
    predict(lake, [("t1", "aaaa", None, None)])
    evaluate_captions(lake, "other")  # without clean images there is nothing that the model could have captioned
    clean = dict.fromkeys(IMAGES_CLEAN.schema.names) | {"image_id": "t1"}
    lake.insert_new("images_clean", lake.spark.createDataFrame([clean], IMAGES_CLEAN.schema))
    with pytest.raises(MissingInputError, match=r"of model other in .*: run predict_captions first"):
        evaluate_captions(lake, "other")


def test_predictions_without_reference_are_said_to_be_so_and_write_nothing(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    predict(lake, [("t1", "aaaa", None, None), ("t2", "", None, None), ("t3", None, None, None)])
    with caplog.at_level("INFO"):
        evaluate_captions(lake, "m1")
    assert "no image has both a reference and a caption by model m1" in caplog.text
    assert not lake.has("evaluations")


@pytest.mark.slow
def test_the_caption_of_the_train_image_with_the_most_similar_features_is_a_control(lake: Lake) -> None:
    captions = [
        ("dog", 0, "a dog runs", "train"),
        ("dog", 1, "a dog runs off", "train"),
        ("dog", 2, "a dog run", "train"),
        ("cat", 0, "a cat", "train"),
        ("t1", 0, "a dog runs", "test"),
        ("t2", 0, "a bat", "test"),
        ("t3", 0, "no features", "test"),
    ]
    lake.insert_new("captions", captions_of(lake.spark, captions))
    features = {"dog": (9, 1), "cat": (1, 9), "t1": (4, 1), "t2": (0, 2), "other": (0, 2)}
    rows = [
        (name, name if name == "other" else "e1", "c1", [2, 1, 1], pack_features(np.array([[[x]], [[y]]])), LONG_AGO)
        for name, (x, y) in features.items()
    ]
    predict(lake, [("t1", "x", None, None), ("t2", "x", None, None), ("t3", "x", None, None)])
    evaluate_captions(lake, "m1")
    assert "nearest_neighbour" not in {row.predictor for row in lake.read("evaluations").collect()}
    lake.insert_new("image_features", lake.spark.createDataFrame(rows, IMAGE_FEATURES.schema))
    evaluate_captions(lake, "m1")
    (row,) = lake.read("evaluations").where("predictor = 'nearest_neighbour'").collect()
    assert (row.split, row.num_images, row.mean_edit_distance, row.exact_match) == ("test", 2, 0.5, 0.5)
    control = neighbour_captions(lake, lake.read("caption_predictions"), lake.read("captions"))
    assert control is not None
    # What the server reads without Spark lends the same captions.
    train = read_train_images(DeltaRows(lake.storage.root), "e1")
    asked = np.stack([direction_of(np.array([[[x]], [[y]]])) for x, y in (features["t1"], features["t2"])])
    found = nearest(asked, np.array(["t1", "t2"], object), train.candidates)
    served = [central_caption(train.captions[str(name)]) for name in found]
    assert served == [row.caption for row in control.orderBy("image_id").collect()] == ["a dog runs", "a cat"]
