"""Captions to tokens and back: `pytest tests/unit/test_notations.py`."""

import pytest

from lib.errors import NotationError
from lib.notations import notation_named

INCHI = notation_named("inchi")
WORDS = notation_named("words")
LABELS = [
    "InChI=1S/C13H20OS/c1-9(2)8-15-13-6-5-10(3)7-12(13)11(4)14/h5-7,9,11,14H,8H2,1-4H3",
    "InChI=1S/C2H4BrCl/c3-1-2-4/h1-2H2",
    "InChI=1S/C4H8O2/c1-3(5)4(2)6/h3,5H,1-2H3/t3-/m0/s1/i1D3,2+1",
]


def test_an_inchi_is_cut_into_elements_layers_whole_numbers_and_signs():
    assert INCHI.tokens_of("InChI=1S/C13H20OBr/c1-9(2)/t3-,10?/m0/s1") == [
        "C", "13", "H", "20", "O", "Br", "/c", "1", "-", "9", "(", "2", ")", "/t", "3", "-", ",", "10", "?", "/m", "0",
        "/s", "1",
    ]


@pytest.mark.parametrize("label", LABELS)
def test_an_inchi_comes_back_as_it_was(label: str):
    assert INCHI.caption_of(INCHI.tokens_of(label)) == label


@pytest.mark.parametrize("caption", ["", "CCO", "InChI=1/C2H6O/c1-2-3/h3H,2H2,1H3"])
def test_what_is_no_standard_inchi_is_refused_with_what_was_seen(caption: str):
    with pytest.raises(NotationError, match="is no standard InChI"):
        INCHI.tokens_of(caption)


def test_only_an_inchi_of_a_molecule_is_valid():
    assert INCHI.is_valid("InChI=1S/CH4/h1H4")
    assert not INCHI.is_valid("InChI=1S/")
    assert not INCHI.is_valid("InChI=1S/C2H6O/c1-2-9/h3H,2H2,1H3")
    assert not INCHI.is_valid("a dog runs")


def test_words_are_lower_case_and_signs_stand_alone():
    assert WORDS.tokens_of("A child's dog, running!") == ["a", "child's", "dog", ",", "running", "!"]
    assert WORDS.caption_of(["a", "dog", "runs"]) == "a dog runs"
    with pytest.raises(NotationError, match="has no word"):
        WORDS.tokens_of("   ")


def test_an_unknown_notation_names_the_setting_and_those_there_are():
    with pytest.raises(NotationError, match=r"captions\.notation is 'smoke'; there are: inchi, words"):
        notation_named("smoke")
