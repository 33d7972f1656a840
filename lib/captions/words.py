"""Captions in words: lower case, a token for each word and each sign."""

import re

import numpy as np

from lib.captions.notations import Columns, Notation, Writing
from lib.errors import NotationError

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]")


def _write_words(caption: str, _layout: Columns | None = None, _rotation_deg: int = 0) -> Writing:
    words = _WORD.findall(caption.lower())
    if not words:
        raise NotationError(f"caption {caption!r} has no word")
    return Writing(words, [-1] * len(words))


def _read_words(text: str) -> str | None:
    return text.strip() or None


def _as_it_is(text: str) -> str:
    return text


def _refuse_to_draw(caption: str, _drawer: str) -> np.ndarray:
    raise NotationError(f"caption {caption!r} is in words, which nobody can draw")


NOTATIONS = {
    "words": Notation(
        "words", ("",), needs_isolation=frozenset(), needs_every_token=False, drawers=(),
        write=_write_words, join=" ".join, read=_read_words, repair=_as_it_is, draw=_refuse_to_draw, mark=None,
    ),
}
