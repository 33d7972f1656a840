"""From captions to the vocabulary: `pytest tests/spark/captions/test_build_vocabulary.py`."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.testing import assertDataFrameEqual

from jobs import build_vocabulary
from lib.errors import MissingInputError
from lib.lake.delta_tables import Lake
from lib.lake.schemas import CAPTIONS
from tests.spark.analyst_lake import write
from tests.spark.landing.test_ingest_images import num_commits
from tests.spark.landing_files import settings_for

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def arrive(lake: Lake, captions: dict[str, str], **splits: str) -> None:
    """Captions by image id, in the table alone; those whose split is not given are for training."""
    rows = [(name, 0, text, "labels.csv", splits.get(name, "train"), NOON, 1, name) for name, text in captions.items()]
    write(lake, "captions", rows)


def build(lake: Lake, *overrides: str) -> None:
    build_vocabulary.run(lake.spark, settings_for(Path("unused"), f"storage.root={lake.storage.root}", *overrides))


def test_tokens_are_counted_and_numbered_in_order_specials_first(lake):
    arrive(lake, {"a": "InChI=1S/C2H6/c1-2", "b": "InChI=1S/CH4", "c": "InChI=1/no standard"})
    build(lake)
    tokens = [
        ("<pad>", 0),
        ("<start>", 0),
        ("<end>", 0),
        ("<unknown>", 0),
        ("-", 1),
        ("/c", 1),
        ("1", 1),
        ("2", 2),
        ("4", 1),
        ("6", 1),
        ("C", 2),
        ("H", 2),
    ]
    expected = lake.spark.createDataFrame(
        [("inchi", token, token_id, num_uses) for token_id, (token, num_uses) in enumerate(tokens)],
        "notation string, token string, token_id int, num_uses long",
    )
    built = lake.read("vocabulary").drop("vocabulary_version", "built_at", "captions_fingerprint")
    assertDataFrameEqual(built, expected)
    build(lake, "captions.min_token_uses=2")
    kept = [row.token for row in lake.read("vocabulary").orderBy("token_id").collect()]
    assert kept == ["<pad>", "<start>", "<end>", "<unknown>", "2", "C", "H"]


def test_tokens_that_are_too_rare_are_counted(lake, caplog):
    arrive(lake, {"a": "InChI=1S/C2H6/c1-2", "b": "InChI=1S/CH4"})
    with caplog.at_level("INFO"):
        build(lake, "captions.min_token_uses=2")
    # Of 11 uses: - /c 1 4 6 once, 2 C H twice.
    assert "5 tokens are used less than captions.min_token_uses 2 times and left out: 45.5 % of all uses" in caplog.text


def test_captions_of_rare_tokens_alone_are_not_blamed_on_their_notation(lake):
    arrive(lake, {"a": "a dog runs", "b": "two cats"})
    words = ("captions.notation=words", "captions.min_token_uses=5")
    with pytest.raises(MissingInputError, match=r"no token .* captions\.min_token_uses 5 times or more: set it lower"):
        build(lake, *words)
    build(lake, "captions.notation=words", "captions.min_token_uses=1")
    assert lake.read("vocabulary").where("token = 'dog'").first().num_uses == 1


def test_only_train_captions_count(lake):
    arrive(lake, dict.fromkeys("abcde", "InChI=1S/CH4"), a="validation", b="test")
    build(lake)
    assert lake.read("vocabulary").where("token = 'C'").first().num_uses == 3


def test_a_second_run_commits_nothing_until_a_caption_arrives(lake):
    arrive(lake, {"a": "InChI=1S/CH4"})
    build(lake)
    before = num_commits(lake)
    build(lake)
    assert num_commits(lake) == before
    arrive(lake, {"a": "InChI=1S/CH4", "b": "InChI=1S/ClH"})
    build(lake)
    assert lake.read("vocabulary").where("token = 'Cl'").count() == 1


def test_captions_that_were_dated_before_the_vocabulary_and_committed_after_it_are_counted(lake):
    arrive(lake, {"a": "InChI=1S/CH4"})
    build(lake)
    slow = ("b", 0, "InChI=1S/ClH", "more.csv", "train", datetime(2024, 1, 1, tzinfo=UTC), 1, "b")
    lake.insert_new("captions", lake.spark.createDataFrame([slow], CAPTIONS.schema))
    build(lake)
    assert lake.read("vocabulary").where("token = 'Cl'").count() == 1


def test_captions_of_another_notation_stop_the_job_with_the_setting_to_change(lake):
    arrive(lake, {"a": "a dog runs"})
    with pytest.raises(MissingInputError, match=r"captions\.notation"):
        build(lake)


def test_building_before_anything_was_ingested_names_the_job_to_run(lake):
    with pytest.raises(MissingInputError, match="run ingest_images first"):
        build(lake)
