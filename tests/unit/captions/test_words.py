"""Captions in words, and how a notation is found by its name: `pytest tests/unit/captions/test_words.py`."""

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


def test_an_unknown_notation_names_the_setting_and_those_there_are():
    with pytest.raises(NotationError, match=r"captions\.notation is 'smoke'; there are: inchi, .*smiles, .*, words"):
        notation_named("smoke")


def test_every_notation_is_found_by_its_name_and_none_is_left_out():
    assert [notation_named(name).name for name in FOUND_IN] == list(FOUND_IN)
    assert {name for module in FOUND_IN.values() for name in import_module(module).NOTATIONS} == set(FOUND_IN)
