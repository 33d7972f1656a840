"""Captions in words, and how a notation is found by its name: `pytest tests/unit/captions/test_words.py`."""

from importlib import import_module

import pytest

from lib.captions.notations import FOUND_IN, notation_named
from lib.errors import NotationError

WORDS = notation_named("words")


def test_words_are_lower_case_and_signs_stand_alone():
    assert WORDS.write("A child's dog, running!", None, 0).tokens == ["a", "child's", "dog", ",", "running", "!"]
    assert WORDS.join(["a", "dog", "runs"]) == "a dog runs"
    with pytest.raises(NotationError, match="has no word"):
        WORDS.write("   ", None, 0)


def test_an_unknown_notation_names_the_setting_and_those_there_are():
    with pytest.raises(NotationError, match=r"captions\.notation is 'smoke'; there are: inchi, smiles, .*, words"):
        notation_named("smoke")


def test_every_notation_is_found_by_its_name_and_none_is_left_out():
    assert [notation_named(name).name for name in FOUND_IN] == list(FOUND_IN)
    assert {name for module in FOUND_IN.values() for name in import_module(module).NOTATIONS} == set(FOUND_IN)
