"""Notations: how captions are written as the network's tokens, and which module has the notation of each name.

Only a notation knows what a caption means; for all other code a caption is text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple

import numpy as np

from lib.errors import NotationError

# The module with each notation in its NOTATIONS; it is imported when the notation is used.
FOUND_IN = {
    "inchi": "lib.molecules.notations",
    "smiles": "lib.molecules.notations",
    "smiles_kekule": "lib.molecules.notations",
    "smiles_drawn": "lib.molecules.notations",
    "smiles_drawn_kekule": "lib.molecules.notations",
    "words": "lib.captions.words",
    "plain_words": "lib.captions.words",
}


Columns = Mapping[str, np.ndarray]  # of a layout, by the names of lib.lake.layout_columns


class Writing(NamedTuple):
    """A caption as tokens; marks holds for each token the index of the mark that it names, -1 for none."""

    tokens: list[str]
    marks: list[int]


class DrawnGraph(NamedTuple):
    """What is seen in a drawing, piece by piece: A nodes, E pairs of them, kinds as in model.graph_kinds."""

    positions_xy: np.ndarray  # (A, 2) pixels
    found: np.ndarray  # (A,) probability that there is a node
    kinds: np.ndarray  # (A, N) probability of each of WRITTEN_KINDS
    charges: np.ndarray  # (A, 3) probability of each of CHARGES
    hydrogens: np.ndarray  # (A, 4) probability of each number of hydrogens with one of WITH_HYDROGENS
    ink: np.ndarray  # (A,) fraction of all ink that is nearest to the node, and no further away than an edge is long
    pairs: np.ndarray  # (E, 2) indices of nodes that are near each other
    edges: np.ndarray  # (E, K) probability of each of KINDS
    gap_fraction: np.ndarray  # () of the edges, that of those whose ink has gaps: strokes may be lost


class AssembledText(NamedTuple):
    """What a drawing may show, as joined tokens."""

    text: str
    log_probability: float  # that all is seen right
    drawn_as: str  # the text of what the image still shows: without ends whose strokes are lost


@dataclass(frozen=True)
class Notation:
    """How captions of one kind are written as tokens."""

    name: str
    caption_prefixes: tuple[str, ...]  # every caption begins with one of these, for a quick check
    needs_isolation: frozenset[str]  # functions below that can crash their process; run by SafeNotation
    needs_every_token: bool  # true = one unknown token changes the meaning, so the caption is not trained on
    drawers: tuple[tuple[str, ...], ...]  # names of drawers, in the groups in which RedrawnImage tries them
    # (caption, columns of its layout if known, clockwise turn by cleaning: 0 or 90) -> tokens. Raises NotationError.
    write: Callable[[str, Columns | None, int], Writing]
    join: Callable[[Sequence[str]], str]
    read: Callable[[str], str | None]  # joined tokens -> caption in standard form; None if it is not valid
    read_typed: Callable[[str], str | None]  # what a person types -> caption in standard form; None if it is none
    typed_as: str  # what a person may type, for messages that begin "this is not"
    repair: Callable[[str], str]  # joined tokens that are not valid -> the best caption that they allow
    # (caption, drawer) -> image (H, W), True = ink. Raises NotationError.
    draw: Callable[[str, str], np.ndarray]
    # (caption, columns of its layout) -> marks: positions_xy (M, 2) in pixels, labels (M, L) of 0 or 1. Raises
    # NotationError if caption and layout do not belong together. None = a notation without layouts.
    mark: Callable[[str, Columns], tuple[np.ndarray, np.ndarray]] | None
    # What is seen in a drawing -> what it may show, the likeliest first.
    assemble: Callable[[DrawnGraph], list[AssembledText]] | None
    graph_reader: str | None  # name of the pretrained one that knows these kinds; None = captions are read as no graph
    # Caption -> molfile (V2000) for an editor of structures. Raises NotationError. None = no structures.
    molfile: Callable[[str], str] | None


def unchanged(text: str) -> str:
    """The text as it is: the repair of notations in which nothing can be repaired."""
    return text


def notation_named(name: str, setting: str = "captions.notation") -> Notation:
    """The notation of that name. Raises NotationError, which names the setting and the known notations."""
    if name not in FOUND_IN:
        raise NotationError(f"{setting} is {name!r}; there are: {', '.join(sorted(FOUND_IN))}")
    notation: Notation = import_module(FOUND_IN[name]).NOTATIONS[name]
    return notation
