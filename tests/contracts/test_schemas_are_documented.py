"""Every table says what it holds, every column what it means, and every key is made of the table's own columns."""

import pytest

from lib.captioning.captioner import CaptionedImage
from lib.lake.schemas import REJECTION_REASONS, TABLES, Table
from lib.reporting.headline import FIGURES, SENTENCE_FIGURES
from lib.serving.answers import CaptionAnswer
from tests.described_columns import described_columns


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_column_has_a_comment_that_is_a_sentence(table: Table) -> None:
    assert [
        name for name, comment in described_columns(table.schema) if len(comment) < 10 or not comment.endswith(".")
    ] == []


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_has_a_comment_that_is_a_sentence(table: Table) -> None:
    assert len(table.comment) > 20
    assert table.comment.endswith(".")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_key_is_made_of_columns_of_the_table(table: Table) -> None:
    assert table.key
    assert set(table.key) <= set(table.schema.names)
    assert len(set(table.schema.names)) == len(table.schema.names)


def test_the_alternatives_of_a_prediction_are_looked_into() -> None:
    names = [name for name, _ in described_columns(TABLES["caption_predictions"].schema)]
    assert {"alternatives", "alternatives.caption", "alternatives.score"} <= set(names)


def test_tables_are_found_by_their_names() -> None:
    assert {name: table.name for name, table in TABLES.items()} == {name: name for name in TABLES}


def test_every_reason_of_a_rejection_is_explained() -> None:
    assert [reason for reason, meaning in REJECTION_REASONS.items() if len(meaning) < 8] == []


def test_wherever_confidence_is_explained_it_is_said_what_it_is_of_a_sentence() -> None:
    column = dict(described_columns(TABLES["caption_predictions"].schema))["confidence"]
    of_answer = CaptionAnswer.model_fields["confidence"].description or ""
    cards = [meaning for label, meaning, _, _ in FIGURES + SENTENCE_FIGURES if label == "Mean confidence"]
    texts = [column, of_answer, " ".join((CaptionedImage.__doc__ or "").split()), *cards]
    assert [text for text in texts if "geometric mean probability" not in text] == []
