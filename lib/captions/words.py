"""Captions as words in lower case without punctuation; plain_words follows the usual rules for Flickr8k."""

import re
import string
from collections.abc import Callable

import numpy as np

from lib.captions.notations import Columns, Notation, Writing
from lib.errors import NotationError

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_WITHOUT_SIGNS = str.maketrans("", "", string.punctuation)


def words_of(caption: str) -> list[str]:
    """Words in lower case, with apostrophes and hyphens inside them, without other signs."""
    return _WORD.findall(caption.lower().replace("\u2019", "'"))


def plain_words_of(caption: str) -> list[str]:
    """By the usual rules of Flickr8k: words in lower case without signs, none of one letter or with a digit."""
    words = (word.translate(_WITHOUT_SIGNS) for word in caption.lower().split())
    return [word for word in words if len(word) > 1 and word.isalpha()]


def _writer(cut: Callable[[str], list[str]]) -> Callable[[str, Columns | None, int], Writing]:
    def write(caption: str, _layout: Columns | None = None, _rotation_deg: int = 0) -> Writing:
        words = cut(caption)
        if not words:
            raise NotationError(f"caption {caption!r} has no word")
        return Writing(words, [-1] * len(words))

    return write


def _read_words(text: str) -> str | None:
    return text.strip() or None


def _as_it_is(text: str) -> str:
    return text


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
        repair=_as_it_is,
        draw=_refuse_to_draw,
        mark=None,
        graph=None,
        variants=None,
        assemble=None,
        readers=None,
        molfile=None,
    )
    for name, cut in (("words", words_of), ("plain_words", plain_words_of))
}
