"""What people found of captions, as captions to learn from: `pytest tests/spark/captions/test_reviewed_captions.py`."""

from datetime import UTC, datetime, timedelta

import pytest

from lib.captions.reviewed_captions import standing_reviews, why_nothing_is_learned, with_reviewed
from lib.captions.vocabulary_tables import build_vocabulary, read_vocabulary
from lib.errors import MissingInputError
from lib.lake.delta_tables import Lake
from lib.lake.schemas import CAPTION_REVIEWS, CAPTIONS, IMAGES_RAW
from lib.sections.captions import CaptionSettings
from lib.settings import load_settings
from lib.sql_folder import SQL

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
    ("taken_back_by_another", "accept", ANNA, "a pond", None),
    ("taken_back_by_another", "undo", BORIS, "a pond", None),
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


def asking(how: str, validation_fraction: float = 0.0) -> CaptionSettings:
    overrides = ["storage.root=unused", "landing.path=unused", f"captions.reviewed={how}"]
    overrides += [
        f"captions.validation_fraction={validation_fraction}",
        "captions.test_fraction=0",
        "captions.min_token_uses=1",
    ]
    return load_settings("photos", "local", overrides).captions


def learned(lake: Lake, how: str, validation_fraction: float = 0.0) -> dict[str, list[str]]:
    reviewed = with_reviewed(lake, lake.read("captions"), asking(how, validation_fraction))
    rows = reviewed.orderBy("image_id", "caption_index").collect()
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


def test_an_image_without_captions_of_its_own_falls_into_the_split_of_its_id(reviewed: Lake) -> None:
    assert {"changed_mind validation", "without_caption train"} <= set(learned(reviewed, "added", 0.49))


def test_images_without_captions_are_learned_from_once_they_are_reviewed(reviewed: Lake) -> None:
    reviewed.spark.sql(f"DELETE FROM delta.`{reviewed.storage.root}/captions`")
    image = dict.fromkeys(IMAGES_RAW.schema.names) | {"image_id": "accepted"}
    reviewed.insert_new("images_raw", reviewed.spark.createDataFrame([image], IMAGES_RAW.schema))
    assert why_nothing_is_learned(reviewed, "current", asking("ignored")) is not None
    assert why_nothing_is_learned(reviewed, "current", asking("instead")) is None
    assert why_nothing_is_learned(reviewed, "pretrained", asking("instead")) is not None
    with pytest.raises(MissingInputError, match="no train caption"):
        build_vocabulary(reviewed, asking("ignored"))
    build_vocabulary(reviewed, asking("instead"))
    tokens = read_vocabulary(reviewed, asking("instead")).tokens
    assert {"dog", "fox", "calf", "road"} <= set(tokens)
    assert not {"cat", "ship", "tree"} & set(tokens)


@pytest.mark.slow
def test_reviews_that_are_too_few_to_train_on_train_nothing(lake: Lake) -> None:
    image = dict.fromkeys(IMAGES_RAW.schema.names) | {"image_id": "a"}
    lake.insert_new("images_raw", lake.spark.createDataFrame([image], IMAGES_RAW.schema))
    review = ("r1", "a", "m1", "a tree", "wrong", None, None, ANNA, None, NOON)
    lake.insert_new("caption_reviews", lake.spark.createDataFrame([review], CAPTION_REVIEWS.schema))
    assert "split train" in (why_nothing_is_learned(lake, "current", asking("instead")) or "")
    review = ("r2", "a", "m1", "a bush", "accept", None, None, BORIS, None, NOON)
    lake.insert_new("caption_reviews", lake.spark.createDataFrame([review], CAPTION_REVIEWS.schema))
    assert why_nothing_is_learned(lake, "current", asking("instead")) is None
    assert "split validation" in (why_nothing_is_learned(lake, "current", asking("instead", 0.01)) or "")


def test_standing_reviews_are_those_of_the_view(reviewed: Lake) -> None:
    reviewed.read("caption_reviews").createOrReplaceTempView("caption_reviews")
    of_view = reviewed.spark.sql((SQL / "views/standing_reviews.sql").read_text())
    ours = standing_reviews(reviewed.read("caption_reviews")).select(*of_view.columns)
    assert sorted(map(tuple, ours.collect()), key=str) == sorted(map(tuple, of_view.collect()), key=str)
    assert of_view.count() == 9
    assert of_view.where("image_id like 'taken_back%'").isEmpty()


def test_without_reviews_nothing_changes(lake: Lake) -> None:
    row = dict.fromkeys(CAPTIONS.schema.names) | {"image_id": "a", "caption_index": 0, "caption": "C", "split": "train"}
    lake.insert_new("captions", lake.spark.createDataFrame([row], CAPTIONS.schema))
    assert learned(lake, "instead") == learned(lake, "ignored") == {"a train": ["C"]}
