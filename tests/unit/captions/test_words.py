"""Captions in words, and how a notation is found by its name: `pytest tests/unit/captions/test_words.py`."""

import re
import string
from importlib import import_module

import pytest

from lib.captions.notations import FOUND_IN, notation_named
from lib.errors import NotationError

WORDS = notation_named("words")


def test_words_are_lower_case_without_signs():
    assert WORDS.write("A child\u2019s T-shirt, size 4!", None, 0).tokens == ["a", "child's", "t-shirt", "size", "4"]
    assert WORDS.join(["a", "dog", "runs"]) == "a dog runs"
    for caption in ("   ", "?!"):
        with pytest.raises(NotationError, match="has no word"):
            WORDS.write(caption, None, 0)


def test_emoji_are_signs_and_words_of_any_alphabet_are_words():
    assert WORDS.write("A dog \N{DOG FACE}\N{DOG FACE} runs \N{GRINNING FACE}", None, 0).tokens == ["a", "dog", "runs"]
    assert WORDS.write("\u0421\u043e\u0431\u0430\u043a\u0430, \u72d7", None, 0).tokens == [
        "\u0441\u043e\u0431\u0430\u043a\u0430",
        "\u72d7",
    ]
    with pytest.raises(NotationError, match="has no word"):
        WORDS.write("\N{GRINNING FACE}\N{DOG FACE}", None, 0)


def test_plain_words_have_letters_alone_and_at_least_two():
    plain = notation_named("plain_words")
    assert plain.write("A child's T-shirt , size 4 by 4th .", None, 0).tokens == ["childs", "tshirt", "size", "by"]


@pytest.mark.parametrize(
    "word",
    [
        "\u0939\u093f\u0928\u094d\u0926\u0940",
        "\u0643\u064e\u0644\u0652\u0628\u064c",
        "\U00011107\U00011128",
        "i\u0307stanbul",
    ],
    ids=["Hindi", "Arabic", "Chakma", "Turkish"],
)
def test_marks_stay_with_their_letters(word: str) -> None:
    for notation in (WORDS, notation_named("plain_words")):
        assert notation.write(f"{word}, {word}!", None, 0).tokens == [word, word]


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("cafe\u0301", ["caf\u00e9"]),
        ("\u0130STANBUL", ["i\u0307stanbul"]),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"]),
        ("hearts\ufe0f 1\ufe0f\u20e3 foot\u00adball", ["hearts", "1", "football"]),
        ("a\u2010b c\u2011d e\u2013f\u2014g \u2018h\u2019", ["a-b", "c-d", "e", "f", "g", "h"]),
    ],
    ids=["decomposed", "capital i", "joined without width", "unseen", "hyphens and dashes"],
)
def test_a_word_is_one_word_however_unicode_writes_it(caption: str, words: list[str]) -> None:
    assert WORDS.write(caption, None, 0).tokens == words


def test_curly_signs_are_plain_ones_and_dashes_are_blanks_in_plain_words() -> None:
    plain_words = notation_named("plain_words")
    caption = "The dog\u2019s \u201cred\u201d ball \u2014 o\u2019clock\u2026"
    assert plain_words.write(caption, None, 0).tokens == ["the", "dogs", "red", "ball", "oclock"]
    assert plain_words.write("red\u2013hot \u00bfqu\u00e9? t\u2011shirt", None, 0).tokens == [
        "red",
        "hot",
        "qu\u00e9",
        "tshirt",
    ]


def test_words_of_ascii_are_cut_by_the_usual_rules() -> None:
    plain_words = notation_named("plain_words")
    without_signs = str.maketrans("", "", string.punctuation)
    for one in map(chr, range(128)):
        caption = " ".join(f"A{one}b{other}c {other}{one}D{other}" for other in map(chr, range(128))).lower() + " end"
        assert WORDS.write(caption, None, 0).tokens == re.findall(r"[^\W_]+(?:['-][^\W_]+)*", caption)
        words = [word.translate(without_signs) for word in caption.split()]
        assert plain_words.write(caption, None, 0).tokens == [one for one in words if len(one) > 1 and one.isalpha()]


def test_an_unknown_notation_names_the_setting_and_those_there_are():
    with pytest.raises(NotationError, match=r"captions\.notation is 'smoke'; there are: inchi, .*smiles, .*, words"):
        notation_named("smoke")


def test_every_notation_is_found_by_its_name_and_none_is_left_out():
    assert [notation_named(name).name for name in FOUND_IN] == list(FOUND_IN)
    assert {name for module in FOUND_IN.values() for name in import_module(module).NOTATIONS} == set(FOUND_IN)
