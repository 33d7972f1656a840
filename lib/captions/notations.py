"""Notations: how captions are written as the network's tokens, and which module has the notation of each name.

Only a notation knows what a caption means; for all other code a caption is text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple

import numpy as np

from lib.errors import NotationError

# The module that has each notation, as NOTATIONS by name; imported when the notation is asked for.
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
    """A caption as tokens, with the mark that each names: its index in the image's layout, -1 for none."""

    tokens: list[str]
    marks: list[int]


class Graph(NamedTuple):
    """A caption as what it draws: nodes joined by edges."""

    skeleton: str  # the same for captions that differ in what Notation.hands decides, and for no others
    tokens: list[int]  # index of the token that names each node
    edges: list[tuple[int, int]]  # indices of nodes
    is_lettered: list[bool]  # whether a node is written in letters
    open_nodes: list[int]  # nodes that may have one more edge, to nothing that the caption names


@dataclass(frozen=True)
class Notation:
    """How captions of one kind are written as tokens."""

    name: str
    caption_prefixes: tuple[str, ...]  # every caption begins with one of these: a check that costs nothing
    needs_isolation: frozenset[str]  # functions below that can end their process: asked through NotationProcess
    needs_every_token: bool  # a caption with a token that the vocabulary lacks means something else
    drawers: tuple[tuple[str, ...], ...]  # who can draw a caption, in groups as RedrawnImage tries them
    # Caption, columns of its layout if known, and by how much cleaning turned the image clockwise (0 or 90); raises
    # NotationError.
    write: Callable[[str, Columns | None, int], Writing]
    join: Callable[[Sequence[str]], str]
    read: Callable[[str], str | None]  # joined tokens to the caption in standard form, None if it is not valid
    repair: Callable[[str], str]  # joined tokens that are not valid to a caption all the same
    # A caption and a drawer to the image, (H, W) True where there is ink; raises NotationError.
    draw: Callable[[str, str], np.ndarray]
    # A caption and the columns of its layout to what lies where: positions_xy (M, 2) in pixels and labels (M, L) of 0
    # or 1; raises NotationError if they do not belong together. None = a notation without layouts.
    mark: Callable[[str, Columns], tuple[np.ndarray, np.ndarray]] | None
    # Joined tokens to the graph that they draw; raises NotationError if they draw none. None = nothing to be traced.
    graph: Callable[[str], Graph] | None
    # Joined tokens, where the nodes of their graph lie (A, 2), and how likely its edges, and those to nothing from its
    # open nodes, are of each kind (E, K), (O, K), to the captions that all this may mean, with their probabilities.
    hands: Callable[[str, np.ndarray, np.ndarray, np.ndarray], dict[str, float]] | None
    edge_reader: str | None  # name of the pretrained edge reader that knows these kinds
    # A caption to a molfile (V2000) that an editor of structures opens; raises NotationError. None = no structures.
    molfile: Callable[[str], str] | None


def notation_named(name: str, setting: str = "captions.notation") -> Notation:
    """The notation of that name. Raises NotationError, which names the setting and the known notations."""
    if name not in FOUND_IN:
        raise NotationError(f"{setting} is {name!r}; there are: {', '.join(sorted(FOUND_IN))}")
    notation: Notation = import_module(FOUND_IN[name]).NOTATIONS[name]
    return notation
