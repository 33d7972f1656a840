"""Vocabularies: the same ids for the same tokens, and faults that name the token."""

from pathlib import Path

import pytest

from model.vocabulary import END, PAD, START, UNKNOWN, TokenIdError, Vocabulary, VocabularyError


def test_specials_come_first_and_the_rest_is_sorted() -> None:
    vocabulary = Vocabulary.from_tokens(["c", "/h", "c", "10", "(", "1"])
    assert vocabulary.tokens == ("<pad>", "<start>", "<end>", "<unknown>", "(", "/h", "1", "10", "c")
    assert (PAD, START, END, UNKNOWN) == (0, 1, 2, 3)


def test_the_same_tokens_in_any_order_get_the_same_ids() -> None:
    assert Vocabulary.from_tokens(["N", "C", "=", "C"]) == Vocabulary.from_tokens(iter(["=", "N", "C"]))


def test_encode_adds_nothing_and_decode_gives_the_tokens_back() -> None:
    vocabulary = Vocabulary.from_tokens("CNO")
    assert vocabulary.encode(["N", "C", "O", "C"]) == [5, 4, 6, 4]
    assert vocabulary.decode([5, 4, 6, 4]) == ["N", "C", "O", "C"]
    assert vocabulary.encode([]) == []


def test_tokens_it_does_not_hold_become_unknown() -> None:
    assert Vocabulary.from_tokens("CN").encode(["C", "Xe", "N"]) == [4, UNKNOWN, 5]


def test_a_caption_that_spells_out_a_special_token_cannot_end_itself() -> None:
    assert Vocabulary.from_tokens("CN").encode(["C", "<end>", "<pad>"]) == [4, UNKNOWN, UNKNOWN]


def test_saved_tokens_are_read_back_in_order_whatever_they_spell(tmp_path: Path) -> None:
    vocabulary = Vocabulary.from_tokens(["\u00e9t\u00e9", '"', "\\", "\n", "/h", "\u5206\u5b50"])
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary


@pytest.mark.parametrize(
    ("tokens", "seen"),
    [
        (("<pad>", "<start>", "<end>", "C"), "<unknown>"),
        (("<pad>", "<start>", "<end>", "<unknown>", "C", "N", "C"), "token 'C' appears 2 times"),
        (("<pad>", "<start>", "<end>", "<unknown>", ""), "seen ''"),
    ],
)
def test_a_list_that_is_no_vocabulary_is_refused_by_token(tokens: tuple[str, ...], seen: str) -> None:
    with pytest.raises(VocabularyError, match=seen):
        Vocabulary(tokens)


def test_a_special_token_among_captions_is_refused() -> None:
    with pytest.raises(VocabularyError, match="'<end>' is reserved"):
        Vocabulary.from_tokens(["C", "<end>"])


@pytest.mark.parametrize("token_id", [-1, 6])
def test_an_id_without_a_token_is_refused_by_number(token_id: int) -> None:
    with pytest.raises(TokenIdError, match=f"token id {token_id} is outside a vocabulary of 6 tokens"):
        Vocabulary.from_tokens("CN").decode([4, token_id])


@pytest.mark.parametrize("content", ["{}", "[1, 2", "[]"])
def test_a_file_that_is_no_vocabulary_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(VocabularyError):
        Vocabulary.load(tmp_path / "vocabulary.json")
