"""What stands between a caption and the tokens the network writes: how to cut one, join one, and tell a valid one.

Chemistry is here, never in model/.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rdkit import Chem, RDLogger

from lib.errors import NotationError

INCHI_PREFIX = "InChI=1S/"  # of every standard InChI, so the network need not write it

# Layer marks such as /c, element symbols, whole numbers, and every other character on its own.
_INCHI_TOKEN = re.compile(r"/[a-z]|[A-Z][a-z]?|\d+|.", re.DOTALL)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]")


@dataclass(frozen=True)
class Notation:
    """How captions of one kind are written as tokens."""

    name: str
    tokens_of: Callable[[str], list[str]]  # raises NotationError for a caption it cannot express
    caption_of: Callable[[Sequence[str]], str]
    is_valid: Callable[[str], bool]


def _inchi_tokens(caption: str) -> list[str]:
    if not caption.startswith(INCHI_PREFIX):
        raise NotationError(f"{caption[:40]!r} is no standard InChI: it does not begin with {INCHI_PREFIX}")
    return _INCHI_TOKEN.findall(caption[len(INCHI_PREFIX) :])


def _inchi_caption(tokens: Sequence[str]) -> str:
    return INCHI_PREFIX + "".join(tokens)


_FORMULA = re.compile(r"InChI=1S/(?:[A-Z][a-z]?\d*)+(?:/|$)")


def _is_valid_inchi(caption: str) -> bool:
    # RDKit can end the process on some malformed strings; without a formula it need not be asked.
    if not _FORMULA.match(caption):
        return False
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    return Chem.MolFromInchi(caption) is not None


def _words(caption: str) -> list[str]:
    words = _WORD.findall(caption.lower())
    if not words:
        raise NotationError(f"caption {caption!r} has no word")
    return words


NOTATIONS = {
    "inchi": Notation("inchi", _inchi_tokens, _inchi_caption, _is_valid_inchi),
    "words": Notation("words", _words, " ".join, lambda caption: bool(caption.strip())),
}


def notation_named(name: str) -> Notation:
    """The notation of that name. Raises NotationError naming the setting and those there are."""
    if name not in NOTATIONS:
        raise NotationError(f"captions.notation is {name!r}; there are: {', '.join(sorted(NOTATIONS))}")
    return NOTATIONS[name]
