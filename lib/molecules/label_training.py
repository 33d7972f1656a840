"""Trains the label reader on patches around the nodes of stored drawings, each drawing worn in its own way.

N patches, h w their sides.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lib.images.node_patches import node_patches
from lib.molecules.drawing_store import DrawingStore
from lib.molecules.graph_training import UNKNOWN, TaughtGraph, graph_of
from lib.molecules.patch_training import (
    LEARNING_RATE,
    SAMPLING_EXPONENT,
    WornDrawing,
    as_input,
    drawings_kept_back,
    drawings_to_learn,
    fractions_right,
    measure_norms,
    sampled_again,
    varied,
)
from lib.molecules.reader_training import learn, seeded
from lib.settings import Settings
from model.graph_kinds import WRITTEN_KINDS
from model.label_reader import NOT_A_NODE, LabelReader
from model.precision import autocast
from model.vocabulary import Vocabulary

FRACTIONS_CUT = {"C": 0.12, "N": 0.7, "O": 0.7}  # of the nodes of the commonest kinds
FRACTION_OF_END_CARBONS_CUT = 0.8  # these may be written out
WRITTEN_CARBON = NOT_A_NODE + 1  # sampled as a kind of their own: few carbons are written out
WRITTEN_CARBON_WEIGHT = 2.0  # times the sampling weight of another kind of as many patches
SAMPLING_WEIGHTS = np.array([1.0] * WRITTEN_CARBON + [WRITTEN_CARBON_WEIGHT])
# Of a typical edge: where around a carbon letters are looked for, and how far from its edges that is.
AROUND, ASIDE = (0.12, 0.32), 0.13
LETTERS_FROM = 0.09  # part of that with ink
JITTER_PX = (1.2, 3.5)  # standard deviations of where nodes are found: of 85 in 100, and of others
FAR_FROM_NODES = 0.33  # of a typical edge: ink that is further away from all nodes is none


class _Patches(NamedTuple):
    """Patches with what they show."""

    pixels: NDArray[np.uint8]  # (N, h, w), 0 = ink
    kinds: NDArray[np.int64]  # (N,) of WRITTEN_KINDS, or NOT_A_NODE
    charges: NDArray[np.int64]  # (N,) of CHARGES
    hydrogens: NDArray[np.int64]  # (N,) number that is written, or UNKNOWN
    sampled_as: NDArray[np.int64]  # (N,) the kind, or WRITTEN_CARBON


def train_label_reader(
    store: DrawingStore, vocabulary: Vocabulary, settings: Settings, num_steps: int, start: LabelReader | None = None
) -> tuple[LabelReader, dict[str, float]]:
    """A label reader, and the fractions of the kinds that it tells right around nodes of drawings kept back.

    It begins as `start`, or from scratch.
    """
    rng = seeded(settings)
    reader = LabelReader()
    graphs = [graph_of(store.drawing(index)) for index in range(len(store))]
    log_prior_ratios = _log_prior_ratios(graphs)
    if start is not None:
        reader.load_state_dict(start.state_dict())
        reader.add_to_kind_logits(-log_prior_ratios)  # about as it was when it learned
    cuts = (_cut(drawing, rng) for drawing in drawings_to_learn(store, graphs, vocabulary, settings))
    feed = sampled_again(cuts, lambda cut: cut.sampled_as, SAMPLING_WEIGHTS)
    learn(reader, [(list(reader.parameters()), LEARNING_RATE)], 0.02, _losses(reader, feed), num_steps)
    measure_norms(reader, lambda: reader(as_input(next(feed).pixels)))
    reader.add_to_kind_logits(log_prior_ratios)
    reader.eval()
    kept_back = (_cut(drawing, rng) for drawing in drawings_kept_back(store, vocabulary, settings, rng))
    told = ((reader(as_input(cut.pixels)).kinds.argmax(dim=1).numpy(), cut.kinds) for cut in kept_back)
    return reader, fractions_right((*WRITTEN_KINDS, "no node"), told)


def _losses(reader: LabelReader, feed: Iterator[_Patches]) -> Iterator[Tensor]:
    for some in feed:
        with autocast(torch.device("cpu"), "auto"):
            labels = reader(varied(as_input(some.pixels)))
        loss = nn.functional.cross_entropy(labels.kinds.float(), torch.from_numpy(some.kinds), label_smoothing=0.02)
        loss += 0.5 * nn.functional.cross_entropy(labels.charges.float(), torch.from_numpy(some.charges))
        is_known = torch.from_numpy(some.hydrogens != UNKNOWN)
        hydrogens = labels.hydrogens.float()[is_known], torch.from_numpy(some.hydrogens)[is_known]
        yield loss + (0.5 * nn.functional.cross_entropy(*hydrogens) if is_known.any() else 0.0)


def _log_prior_ratios(graphs: list[TaughtGraph]) -> Tensor:
    """Log of the frequency of WRITTEN_KINDS (N,) in drawings over that among sampled patches, 0 on average.

    Carbons at corners do not count: they have no letters that could be taken for others.
    """
    kinds, cut = np.concatenate([one.kinds for one in graphs]), np.concatenate([*map(_fractions_cut, graphs)])
    may_have_letters = (kinds != UNKNOWN) & ~np.concatenate([*map(_are_corners, graphs)])
    counts, counts_cut = (
        np.bincount(kinds[may_have_letters], weights, len(WRITTEN_KINDS)).clip(1)
        for weights in (None, cut[may_have_letters])
    )
    ratios = np.log(counts) - SAMPLING_EXPONENT * np.log(counts_cut)
    return torch.from_numpy(ratios - ratios.mean()).float()


def _cut(drawing: WornDrawing, rng: np.random.Generator) -> _Patches:
    """Patches of a drawing: around many of its nodes, and one around none."""
    graph, ink, marks_xy = drawing
    nodes_xy = marks_xy[graph.atoms]
    is_cut = rng.random(len(nodes_xy)) < _fractions_cut(graph)
    spread = np.where(rng.random(is_cut.sum()) < 0.85, *JITTER_PX)
    middles = nodes_xy[is_cut] + rng.normal(size=(len(spread), 2)) * spread[:, None]
    kinds, charges, hydrogens = graph.kinds[is_cut], graph.charges[is_cut], graph.hydrogens[is_cut]
    sampled_as = kinds.copy()
    inked = np.argwhere(ink > 0.5)[:, ::-1]
    if len(graph.edges) and len(inked):
        typical = float(np.median(np.linalg.norm(np.diff(nodes_xy[graph.edges], axis=1), axis=2)))
        is_carbon = is_cut & (graph.kinds == WRITTEN_KINDS.index("C"))
        for node in np.flatnonzero(is_carbon).tolist():
            if _is_written(ink, nodes_xy, graph.edges, node, typical):
                sampled_as[is_cut[:node].sum()] = WRITTEN_CARBON
        spot = inked[rng.integers(len(inked))]
        if np.linalg.norm(nodes_xy - spot, axis=1).min() > FAR_FROM_NODES * typical:
            middles = np.vstack((middles, spot))
            charges, hydrogens = np.append(charges, 0), np.append(hydrogens, UNKNOWN)
            kinds, sampled_as = np.append(kinds, NOT_A_NODE), np.append(sampled_as, NOT_A_NODE)
    return _Patches(node_patches(drawing.pixels(), middles), kinds, charges, hydrogens, sampled_as)


def _is_written(ink: np.ndarray, nodes_xy: np.ndarray, edges: np.ndarray, node: int, typical: float) -> bool:
    """Whether there are letters at a node of a drawing (H, W) with ink = 1: ink around it that is none of its edges."""
    others = edges[(edges == node).any(axis=1)].sum(axis=1) - node
    ways = nodes_xy[others] - nodes_xy[node]
    ways = ways / np.linalg.norm(ways, axis=1, keepdims=True)
    reach = math.ceil(AROUND[1] * typical)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    is_around = (np.hypot(x, y) > AROUND[0] * typical) & (np.hypot(x, y) < AROUND[1] * typical)
    for way_x, way_y in ways:
        is_around &= (x * way_x + y * way_y <= 0) | (np.abs(x * way_y - y * way_x) > ASIDE * typical)
    column, row = np.rint(nodes_xy[node]).astype(int).clip(0, (ink.shape[1] - 1, ink.shape[0] - 1)) + reach
    near = np.pad(ink, reach)[row - reach : row + reach + 1, column - reach : column + reach + 1]
    return bool((near[is_around] > 0.5).mean() > LETTERS_FROM)


def _fractions_cut(graph: TaughtGraph) -> NDArray[np.float64]:
    """The probability that a patch is cut around each node (A,)."""
    fractions = np.array([FRACTIONS_CUT.get(name, 1.0) for name in WRITTEN_KINDS])[graph.kinds]
    fractions[(graph.kinds == WRITTEN_KINDS.index("C")) & ~_are_corners(graph)] = FRACTION_OF_END_CARBONS_CUT
    fractions[graph.kinds == UNKNOWN] = 0
    return fractions


def _are_corners(graph: TaughtGraph) -> NDArray[np.bool_]:
    """Which nodes (A,) are carbons between two edges or more: few of them are written out."""
    num_edges = np.bincount(graph.edges.ravel(), minlength=len(graph.kinds))
    are_corners: NDArray[np.bool_] = (graph.kinds == WRITTEN_KINDS.index("C")) & (num_edges > 1)
    return are_corners
