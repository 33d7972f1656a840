"""Which model is put in use: candidate and champion on the validation images, by hand, and back."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import Row, SparkSession

from jobs import promote_model
from lib.errors import CaptionlakeError, MissingInputError
from lib.images.cleaning import encode_png
from lib.lake.delta_tables import Lake
from lib.lake.model_promotions import offer_trained
from lib.lake.models import checkpoints_folder, current_model, make_current, resolve_model, withdrawal_of
from lib.sections.lake import StorageSettings
from lib.settings import Settings
from model.checkpoint import new_captioner, save_checkpoint
from model.config import CaptionerConfig
from tests.spark.analyst_lake import write
from tests.spark.landing_files import settings_for
from tests.unit.tiny_captioner import TINY, VOCABULARY

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REFERENCE = "InChI=1S/CH4/h1H4"
NUM_IMAGES = 40
VERBS = ("sleeps", "runs", "eats", "barks", "swims", "jumps", "waits", "digs", "plays", "stands")


def settings(lake: Lake, *overrides: str) -> Settings:
    few = ("promotion.num_resamples=200", "promotion.min_images_of_kind=10", "promotion.decided_by=comparison")
    return settings_for(Path("unused"), f"storage.root={lake.storage.root}", *few, *overrides)


def put_model(lake: Lake, name: str) -> None:
    """An untrained model that was offered as training offers one."""
    captioner = new_captioner(CaptionerConfig(**(TINY | {"num_cell_labels": 0})), VOCABULARY)
    details = {"notation": "inchi", "max_tokens": 6}
    save_checkpoint(checkpoints_folder(lake.storage) / name, captioner, VOCABULARY, details=details, provenance={})
    offer_trained(lake, name, "comparison")


def images() -> list[tuple[str, str]]:
    """(image_id, captions file) of the validation images: three of four in one file."""
    return [(f"i{number:02d}", "odd.csv" if number % 4 == 0 else "usual.csv") for number in range(NUM_IMAGES)]


def arrive(lake: Lake) -> None:
    """Clean images of the validation split with one reference each, and one train image."""
    pixels = np.full((32, 64), 255, dtype=np.uint8)
    pixels[10:12, 5:50] = 0
    png = encode_png(pixels)
    named = [*images(), ("t", "usual.csv")]
    write(lake, "images_clean", [(name, 64, 32, 0, 0, 0.1, [1.0], "k1", NOON, png, None) for name, _ in named])
    split = {"t": "train"}
    write(
        lake,
        "captions",
        [(name, 0, REFERENCE, file, split.get(name, "validation"), NOON, 1, name) for name, file in named],
    )


def captioned(lake: Lake, distances: dict[str, Any]) -> None:
    """What each model wrote: `distances` gives the number of wrong characters by model, of an image and its file."""
    rows = []
    for model, distance in distances.items():
        for name, file in images():
            wrong = distance(name, file)
            caption = None if wrong is None else REFERENCE[: len(REFERENCE) - wrong]
            rows.append((name, model, caption, 0.5, True, [], None, None, None, None, "k1", NOON))
    write(lake, "caption_predictions", rows)


@pytest.fixture(scope="module")
def two_models_once(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two_models")
    lake = Lake(spark, StorageSettings(root=str(root), catalog=None, schema_name=None))
    arrive(lake)
    put_model(lake, "old")
    put_model(lake, "new")
    return root


@pytest.fixture
def two_models(copied: Callable[[Path], Lake], two_models_once: Path) -> Lake:
    return copied(two_models_once)


def promote(lake: Lake, *overrides: str, **arguments: Any) -> None:
    promote_model.run(lake.spark, settings(lake, *overrides), **arguments)


def decisions(lake: Lake) -> list[Row]:
    return lake.read("model_promotions").orderBy("decided_at").collect()


def test_a_first_model_is_in_use_at_once_and_the_next_waits_as_candidate(two_models: Lake) -> None:
    assert current_model(two_models.storage) == "old"
    assert resolve_model(two_models.storage, "champion", "molecules").version == "old"
    assert resolve_model(two_models.storage, "candidate", "molecules").version == "new"


def test_where_training_decides_the_newest_is_in_use_and_the_change_is_a_row(two_models: Lake) -> None:
    offer_trained(two_models, "new", "training")
    offer_trained(two_models, "new", "training")
    assert current_model(two_models.storage) == "new"
    assert [(row.candidate, row.champion, row.decision) for row in decisions(two_models)] == [
        ("new", "old", "promoted")
    ]


def test_what_is_better_is_promoted_with_its_figures(two_models: Lake) -> None:
    captioned(two_models, {"old": lambda *_: 4, "new": lambda name, _: 1 + int(name[1:]) % 2})
    settled = [("i00", REFERENCE[:-1]), ("i01", REFERENCE[:-1]), ("t", REFERENCE)]  # of the new model the first is so
    reviews = [(name, name, "old", "other", "correct", None, text, "anna", None, NOON) for name, text in settled]
    write(two_models, "caption_reviews", reviews)
    promote(two_models)
    assert current_model(two_models.storage) == "new"
    (row,) = decisions(two_models)
    assert row.reason.endswith("; of 2 captions that reviewers agree on it has 1, the champion 0")
    assert (row.candidate, row.champion, row.decision, row.metric) == ("new", "old", "promoted", "edit_distance")
    assert (row.num_images, row.candidate_score, row.champion_score) == (NUM_IMAGES, 1.5, 4.0)
    assert 2 < row.gain_from < 2.5 < row.gain_to < 3
    assert [(one.kind, one.num_images, one.candidate_score) for one in row.by_kind] == [
        ("odd.csv", 10, 1.0),
        ("usual.csv", 30, 5 / 3),
    ]
    promote(two_models)  # the candidate is the current one now
    assert len(decisions(two_models)) == 1


def test_what_is_not_surely_better_is_refused_once_with_a_sentence(
    two_models: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    captioned(two_models, {"old": lambda *_: 2, "new": lambda name, _: 4 * (int(name[1:]) % 2)})
    with caplog.at_level("INFO"):
        promote(two_models)
        promote(two_models)
    assert current_model(two_models.storage) == "old"
    (row,) = decisions(two_models)
    assert (row.decision, row.candidate_score, row.champion_score) == ("refused", 2.0, 2.0)
    assert "is not surely above 0" in row.reason
    assert f"model new is not promoted: {row.reason}" in caplog.text


@pytest.mark.slow
def test_a_gain_below_the_margin_is_refused(two_models: Lake) -> None:
    captioned(two_models, {"old": lambda *_: 3, "new": lambda *_: 2})
    promote(two_models, "promotion.min_gain=1.5")
    assert [row.decision for row in decisions(two_models)] == ["refused"]
    promote(two_models, "promotion.min_gain=0.5")
    assert [row.decision for row in decisions(two_models)] == ["refused", "promoted"]


@pytest.mark.slow
def test_what_is_better_on_the_whole_but_worse_on_a_kind_of_image_is_refused(two_models: Lake) -> None:
    captioned(two_models, {"old": lambda *_: 4, "new": lambda _, file: 6 if file == "odd.csv" else 0})
    promote(two_models)
    (row,) = decisions(two_models)
    assert row.decision == "refused"
    assert row.gain_from > 0
    assert row.reason.endswith("is above 0, but images of odd.csv are captioned worse")


@pytest.mark.slow
def test_a_missing_caption_counts_as_an_empty_one(two_models: Lake) -> None:
    captioned(two_models, {"old": lambda *_: 2, "new": lambda name, _: None if name == "i00" else 2})
    promote(two_models)
    (row,) = decisions(two_models)
    assert (row.num_images, row.candidate_score) == (NUM_IMAGES, 2 + (len(REFERENCE) - 2) / NUM_IMAGES)


@pytest.mark.slow
def test_sentences_are_compared_by_cider(two_models: Lake) -> None:
    sentences = [f"a {color} dog {verb}" for color in ("red", "blue", "old", "big") for verb in VERBS]
    named = [(name, sentence) for (name, _), sentence in zip(images(), sentences, strict=True)]
    write(two_models, "captions", [(name, 0, text, "t.csv", "validation", NOON, 1, name) for name, text in named])
    written = {"old": lambda _: "a red dog sleeps", "new": lambda text: text}
    rows = [
        (name, model, caption(text), 0.5, True, [], None, None, None, None, "k1", NOON)
        for model, caption in written.items()
        for name, text in named
    ]
    write(two_models, "caption_predictions", rows)
    promote(two_models, "evaluation.metrics=sentences")
    (row,) = decisions(two_models)
    assert (row.decision, row.metric) == ("promoted", "cider")
    assert row.candidate_score > 5 > row.champion_score > 0


@pytest.mark.slow
def test_missing_captions_of_validation_images_and_of_no_others_are_written_first(two_models: Lake) -> None:
    promote(two_models)
    rows = two_models.read("caption_predictions").groupBy("model_version").count().collect()
    assert {row.model_version: row["count"] for row in rows} == {"old": NUM_IMAGES, "new": NUM_IMAGES}
    assert [row.num_images for row in decisions(two_models)] == [NUM_IMAGES]


def test_back_and_to_put_models_in_use_by_hand_and_withdraw_the_one_before(two_models: Lake) -> None:
    storage = two_models.storage
    with pytest.raises(MissingInputError, match="no model that old replaced: name one with promote_model --to"):
        promote(two_models, back=True)
    offer_trained(two_models, "new", "training")
    promote(two_models, back=True)
    assert current_model(storage) == "old"
    assert withdrawal_of(checkpoints_folder(storage) / "new") == "promote_model put old in its place"
    promote(two_models, candidate="new")  # withdrawn: no candidate
    promote(two_models, to="new")
    assert current_model(storage) == "new"
    assert withdrawal_of(checkpoints_folder(storage) / "new") is None
    assert withdrawal_of(checkpoints_folder(storage) / "old") is not None
    promote(two_models, to="pretrained")
    assert resolve_model(storage, "current", "molecules") == resolve_model(storage, "pretrained", "molecules")
    promote(two_models, back=True)
    assert current_model(storage) == "new"
    told = [(row.candidate.partition("-")[0], row.decision) for row in decisions(two_models)]
    assert told == [
        ("new", "promoted"),
        ("old", "rolled_back"),
        ("new", "chosen"),
        ("pretrained", "chosen"),
        ("new", "rolled_back"),
    ]


def test_a_roll_back_that_was_killed_halfway_is_finished_by_the_same_command(two_models: Lake) -> None:
    offer_trained(two_models, "new", "training")
    (checkpoints_folder(two_models.storage) / "new" / "withdrawn").write_text("half done\n")
    promote(two_models, back=True)
    assert resolve_model(two_models.storage, "current", "molecules").version == "old"


def test_a_checkpoint_elsewhere_is_named_by_its_path_and_its_files(two_models: Lake, tmp_path: Path) -> None:
    (checkpoints_folder(two_models.storage) / "new").rename(tmp_path / "moved")
    model = resolve_model(two_models.storage, str(tmp_path / "moved"), "molecules")
    assert model.version.startswith("moved-")
    make_current(two_models.storage, str(tmp_path / "moved"))
    assert resolve_model(two_models.storage, "current", "molecules") == model
    inside = checkpoints_folder(two_models.storage).absolute() / "old"
    assert resolve_model(two_models.storage, str(inside), "molecules").version == "old"


def test_what_cannot_be_compared_is_said_in_a_sentence(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    def refusal(**arguments: Any) -> str:
        with pytest.raises(CaptionlakeError) as refused:
            promote(lake, **arguments)
        return str(refused.value)

    assert refusal() == f"no model has been trained in {lake.storage.root}: run train_captioner first"
    put_model(lake, "old")
    with caplog.at_level("INFO"):
        promote(lake)
    assert "model old is the current one and there is no other candidate" in caplog.text
    assert refusal(candidate="lost").startswith("no model 'lost' in ")
    assert refusal(to="lost").startswith("no model 'lost' in ")
    put_model(lake, "new")
    assert refusal() == f"there is no table images_clean in {lake.storage.root}: run clean_images first"
    arrive(lake)
    write(lake, "captions", [("t", 0, REFERENCE, "usual.csv", "train", NOON, 1, "t")])
    assert refusal().startswith("no clean image of the validation split in ")
