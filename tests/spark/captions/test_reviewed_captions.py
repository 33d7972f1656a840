"""What people found of captions, as captions to learn from: `pytest tests/spark/captions/test_reviewed_captions.py`."""

from datetime import UTC, datetime, timedelta

import pytest

from lib.captions.reviewed_captions import standing_reviews, with_reviewed
from lib.lake.delta_tables import Lake
from lib.lake.schemas import CAPTION_REVIEWS, CAPTIONS
from lib.sql.views import SQL

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
ANNA, BORIS = "anna", "boris"
# image_id, verdict, reviewer, the caption that was reviewed, the corrected one
REVIEWS = [
    ("accepted", "accept", ANNA, "a dog", None),
    ("corrected", "correct", ANNA, "a cat", "a fox"),
    ("changed_mind", "accept", ANNA, "a cow", None),
    ("changed_mind", "correct", ANNA, "a cow", "a calf"),
    ("disagreed", "correct", ANNA, "a boat", "a ship"),
    ("disagreed", "correct", BORIS, "a boat", "a yacht"),
    ("disputed", "accept", ANNA, "a hut", None),
    ("disputed", "wrong", BORIS, "a hut", None),
    ("wrong", "wrong", ANNA, "a tree", None),
    ("taken_back", "accept", ANNA, "a bird", None),
    ("taken_back", "undo", ANNA, "a bird", None),
    ("without_caption", "accept", BORIS, "a road", None),
]
OWN = {"accepted": "own 0", "corrected": "own 1", "disagreed": "own 2", "disputed": "own 3", "wrong": "own 4"}


@pytest.fixture
def reviewed(lake: Lake) -> Lake:
    captions = [
        dict.fromkeys(CAPTIONS.schema.names)
        | {"image_id": image_id, "caption_index": 0, "caption": caption, "split": "validation", "source": "labels.csv"}
        for image_id, caption in OWN.items()
    ]
    lake.insert_new("captions", lake.spark.createDataFrame(captions, CAPTIONS.schema))
    rows = []
    for number, (image_id, verdict, reviewer, caption, corrected) in enumerate(REVIEWS):
        undoes = f"r{number - 1}" if verdict == "undo" else None
        time = NOON + timedelta(minutes=number)
        rows.append((f"r{number}", image_id, "m1", caption, verdict, None, corrected, reviewer, undoes, time))
    lake.insert_new("caption_reviews", lake.spark.createDataFrame(rows, CAPTION_REVIEWS.schema))
    return lake


def learned(lake: Lake, how: str) -> dict[str, list[str]]:
    rows = with_reviewed(lake, lake.read("captions"), how).orderBy("image_id", "caption_index").collect()
    texts: dict[str, list[str]] = {}
    for row in rows:
        texts.setdefault(f"{row.image_id} {row.split}", []).append(row.caption)
    return texts


def test_what_reviewers_agree_on_is_learned_instead_of_an_images_captions_or_besides(reviewed: Lake) -> None:
    own = {f"{image_id} validation": [caption] for image_id, caption in OWN.items()}
    alone = {"changed_mind train": ["a calf"], "without_caption train": ["a road"]}
    found = {"accepted validation": "a dog", "corrected validation": "a fox"}
    assert learned(reviewed, "ignored") == own
    assert learned(reviewed, "instead") == own | alone | {name: [text] for name, text in found.items()}
    assert learned(reviewed, "added") == own | alone | {name: [text, *own[name]] for name, text in found.items()}


def test_standing_reviews_are_those_of_the_view(reviewed: Lake) -> None:
    reviewed.read("caption_reviews").createOrReplaceTempView("caption_reviews")
    of_view = reviewed.spark.sql((SQL / "views/standing_reviews.sql").read_text())
    ours = standing_reviews(reviewed.read("caption_reviews")).select(*of_view.columns)
    assert sorted(map(tuple, ours.collect()), key=str) == sorted(map(tuple, of_view.collect()), key=str)
    assert of_view.count() == 9


def test_without_reviews_nothing_changes(lake: Lake) -> None:
    row = dict.fromkeys(CAPTIONS.schema.names) | {"image_id": "a", "caption_index": 0, "caption": "C", "split": "train"}
    lake.insert_new("captions", lake.spark.createDataFrame([row], CAPTIONS.schema))
    assert learned(lake, "instead") == learned(lake, "ignored") == {"a train": ["C"]}
