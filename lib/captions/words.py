"""Captions as words in lower case without punctuation; plain_words follows the usual rules for Flickr8k."""

import re
import string
import unicodedata
from collections.abc import Callable
from itertools import groupby

import numpy as np

from lib.captions.notations import Columns, Notation, Writing, unchanged
from lib.errors import NotationError


def _characters(first: int, end: int, *categories: str) -> list[str]:
    """The characters from code point `first` to before `end` whose Unicode category begins with one of these."""
    return [sign for sign in map(chr, range(first, end)) if unicodedata.category(sign).startswith(categories)]


def _ranges(characters: list[str]) -> str:
    """The characters as the inside of a set of a regular expression, which is fast only with ranges."""
    numbered = groupby(enumerate(map(ord, characters)), lambda pair: pair[1] - pair[0])
    runs = [[chr(code) for _, code in run] for _, run in numbered]
    return "".join(f"{run[0]}-{run[-1]}" for run in runs)


_LAST_SCRIPT = 0x20000  # from here on there are Han characters, signs for private use and variation selectors alone
_JOINERS = "\u200c\u200d"  # without width: they change how their neighbours are drawn, and part no words
_MARKS = _ranges(_characters(0x300, _LAST_SCRIPT, "Mn", "Mc"))  # accents and vowel signs that follow their letter
_PART = rf"\w[\w{_MARKS}]*"
_WORD = re.compile(rf"{_PART}(?:['\-{_JOINERS}]{_PART})*")
_NO_LETTERS = re.compile(rf"[{_MARKS}{_JOINERS}]")
_WITHOUT_SIGNS = str.maketrans("", "", string.punctuation + "".join(_characters(0x80, _LAST_SCRIPT, "P")))
# Soft hyphens and variation selectors change how a word looks, not which it is.
_UNSEEN = [0xAD, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]
_AS_PLAIN = dict.fromkeys(_UNSEEN) | str.maketrans(
    "\u2018\u2019\u201b\u02bc\uff07\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "'" * 5 + "-" * 2 + " " * 5
)


def words_of(caption: str) -> list[str]:
    """Words in lower case, with apostrophes and hyphens inside them, without other signs."""
    return _WORD.findall(_plain(caption).replace("_", " "))


def plain_words_of(caption: str) -> list[str]:
    """By the usual rules of Flickr8k: words in lower case without signs, none of one letter or with a digit."""
    words = (word.translate(_WITHOUT_SIGNS) for word in _plain(caption).split())
    return [word for word in words if len(word) > 1 and _NO_LETTERS.sub("", word).isalpha()]


def _plain(caption: str) -> str:
    """The caption in lower case in the Unicode form NFC, with plain apostrophes and hyphens, and blanks for dashes."""
    return unicodedata.normalize("NFC", caption.lower()).translate(_AS_PLAIN)


def _writer(cut: Callable[[str], list[str]]) -> Callable[[str, Columns | None, int], Writing]:
    def write(caption: str, _layout: Columns | None = None, _rotation_deg: int = 0) -> Writing:
        words = cut(caption)
        if not words:
            raise NotationError(f"caption {caption!r} has no word")
        return Writing(words, [-1] * len(words))

    return write


def _read_words(text: str) -> str | None:
    return text.strip() or None


def _typed_reader(cut: Callable[[str], list[str]]) -> Callable[[str], str | None]:
    return lambda text: text.strip() if cut(text) else None


def _refuse_to_draw(caption: str, _drawer: str) -> np.ndarray:
    raise NotationError(f"caption {caption!r} is in words and cannot be drawn")


NOTATIONS = {
    name: Notation(
        name,
        ("",),
        needs_isolation=frozenset(),
        needs_every_token=False,
        drawers=(),
        write=_writer(cut),
        join=" ".join,
        read=_read_words,
        read_typed=_typed_reader(cut),
        typed_as="a caption with words",
        repair=unchanged,
        draw=_refuse_to_draw,
        mark=None,
        assemble=None,
        graph_reader=None,
        molfile=None,
    )
    for name, cut in (("words", words_of), ("plain_words", plain_words_of))
}
