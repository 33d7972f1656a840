"""The differences of two texts: what is wrong in a caption, and what it lacks of a reference."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

MAX_MARKED = 2000  # characters: comparing takes the square of them
_WORD = re.compile(r"\s*\S+|\s+$")

Segments = list[tuple[bool, str]]  # (differs, text): the texts joined are the caption


def marked_as_read(caption: str, reference: str) -> tuple[Segments, Segments]:
    """Both texts cut where they differ: sentences between words, other captions between characters."""
    if max(len(caption), len(reference)) > MAX_MARKED:
        return [(False, caption)], [(False, reference)]
    if " " in caption.strip() and " " in reference.strip():
        return marked(_WORD.findall(caption), _WORD.findall(reference))
    return marked(caption, reference)


def marked(caption: Sequence[str], reference: Sequence[str]) -> tuple[Segments, Segments]:
    """Both texts cut where they differ: into what is wrong in the caption, and what is missed in the reference.

    Texts are compared character by character, lists of strings string by string.
    """
    wrong: Segments = []
    missed: Segments = []
    matcher = SequenceMatcher(None, caption, reference, autojunk=False)
    for operation, begin, end, begin_reference, end_reference in matcher.get_opcodes():
        wrong.append((operation != "equal", "".join(caption[begin:end])))
        missed.append((operation != "equal", "".join(reference[begin_reference:end_reference])))
    return [part for part in wrong if part[1]], [part for part in missed if part[1]]
