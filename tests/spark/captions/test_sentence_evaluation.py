"""Sentence scores in the table evaluations: whole splits, all references, the same controls."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from delta.tables import DeltaTable

from lib.captions.scores import evaluate_captions, with_scores
from lib.captions.sentence_evaluation import score_sentences
from lib.captions.sentence_scores import METRICS, SentenceScorer
from lib.lake.delta_tables import Lake
from lib.lake.schemas import CAPTION_PREDICTIONS, CAPTIONS, EVALUATIONS

pytest.importorskip("pycocoevalcap", reason="the extra photos is not installed")
LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)
TRAIN = {"t1": ["a man rides a horse"], "t2": ["a man rides a bicycle"], "t3": ["a man rides"]}
REFERENCES = {
    "p1": ["a dog runs on the beach", "a brown dog is running"],
    "p2": ["two children play in the snow", "..."],
    "p3": ["...", "\N{GRINNING FACE}"],
}
PREDICTED = {"p1": "a brown dog is running on the beach", "p2": "two dogs play in the snow", "p3": "a man"}
NAMES = ("num_sentences", "num_empty_sentences", *METRICS)


@pytest.fixture(scope="module")
def scorer() -> Iterator[SentenceScorer]:
    with SentenceScorer() as scorer:
        yield scorer


def fill(lake: Lake) -> None:
    rows = [
        (image_id, index, caption, "captions.csv", split, LONG_AGO, index + 1, image_id)
        for split, captions in (("train", TRAIN), ("test", REFERENCES))
        for image_id, of_image in captions.items()
        for index, caption in enumerate(of_image)
    ]
    lake.insert_new("captions", lake.spark.createDataFrame(rows, CAPTIONS.schema))
    columns = "image_id string, caption string, is_valid boolean, confidence double"
    predicted = lake.spark.createDataFrame([(*row, True, 0.5) for row in PREDICTED.items()], columns)
    values = [
        (
            row.image_id,
            "m1",
            row.caption,
            row.confidence,
            row.is_valid,
            [],
            row.reference,
            row.edit_distance,
            row.similarity,
            row.split,
            "c1",
            LONG_AGO,
        )
        for row in with_scores(predicted, lake.read("captions")).collect()
    ]
    lake.insert_new("caption_predictions", lake.spark.createDataFrame(values, CAPTION_PREDICTIONS.schema))


def scores_in(lake: Lake) -> dict[str, dict[str, float]]:
    rows = lake.read("evaluations").where("split = 'test'").collect()
    return {row.predictor: {name: row[name] for name in NAMES} for row in rows}


def test_sentences_of_a_split_are_scored_at_once_against_all_references_beside_controls(
    lake: Lake, scorer: SentenceScorer
) -> None:
    fill(lake)
    evaluate_captions(lake, "m1", as_sentences=True)
    found = scores_in(lake)
    assert found["model"] == scorer.score(PREDICTED, REFERENCES)
    assert found["model"]["num_sentences"] == 2  # p3 has references, but none with a word
    assert found["model"]["bleu_1"] == pytest.approx(13 / 14)  # "dogs" alone is in no reference
    control_caption = "a man rides a horse"
    assert found["constant_caption"] == scorer.score(dict.fromkeys(PREDICTED, control_caption), REFERENCES)
    # Three images hand their captions on in a ring, one way or the other.
    first, second, third = PREDICTED.values()
    rings = [dict(zip(PREDICTED, ring, strict=True)) for ring in ((second, third, first), (third, first, second))]
    assert found["shuffled_pictures"] in [scorer.score(ring, REFERENCES) for ring in rings]
    assert found["model"]["cider"] > max(found["constant_caption"]["cider"], found["shuffled_pictures"]["cider"])


@pytest.mark.slow
def test_a_control_without_some_captions_is_scored_over_the_images_of_the_model(
    lake: Lake, scorer: SentenceScorer
) -> None:
    fill(lake)
    lacking = PREDICTED | {"p1": None}
    rows = [
        (image_id, "test", predictor, caption)
        for predictor, of_predictor in (("model", PREDICTED), ("control", lacking), ("none", dict.fromkeys(PREDICTED)))
        for image_id, caption in of_predictor.items()
    ]
    written = lake.spark.createDataFrame(rows, "image_id string, split string, predictor string, caption string")
    found = score_sentences(written, lake.read("captions"))
    assert found == {
        ("test", "model"): scorer.score(PREDICTED, REFERENCES),
        ("test", "control"): scorer.score(PREDICTED | {"p1": ""}, REFERENCES),
    }
    control = found["test", "control"]
    assert (control["num_sentences"], control["num_empty_sentences"]) == (2, 1)


@pytest.mark.slow
def test_a_table_of_edit_distances_alone_gets_sentence_scores_once(lake: Lake, scorer: SentenceScorer) -> None:
    fill(lake)
    evaluate_captions(lake, "m1")
    assert set(scores_in(lake)["model"].values()) == {None}
    # As an older version of the project left it.
    older = lake.read("evaluations").drop(*NAMES).localCheckpoint()
    path = f"{lake.storage.root}/evaluations"
    older.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(path)
    evaluate_captions(lake, "m1", as_sentences=True)
    assert scores_in(lake)["model"] == scorer.score(PREDICTED, REFERENCES)
    assert set(lake.read("evaluations").columns) == set(EVALUATIONS.schema.names)
    num_commits = DeltaTable.forPath(lake.spark, path).history().count()
    evaluate_captions(lake, "m1", as_sentences=True)
    assert DeltaTable.forPath(lake.spark, path).history().count() == num_commits
