"""Trains the edge reader on patches between the nodes of stored drawings, each drawing worn in its own way.

E pairs of nodes, h w the sides of patches.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lib.images.edge_patches import edge_patches
from lib.images.ink_between import INKLESS, ink_between
from lib.molecules.drawing_store import DrawingStore
from lib.molecules.graph_training import TaughtGraph, graph_of, targets_of
from lib.molecules.patch_training import (
    LEARNING_RATE,
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
from model.edge_reader import EdgeReader
from model.graph_kinds import KINDS, NOTHING, SINGLE
from model.precision import autocast
from model.vocabulary import Vocabulary

FRACTIONS_CUT = {NOTHING: 0.35, SINGLE: 0.6}  # of the pairs of the commonest kinds that are cut
FRACTION_OF_INKLESS_CUT = 0.2  # of pairs that nothing joins and where no ink is
JITTER = (0.04, 0.1)  # standard deviations of ends, over a typical edge: of 85 in 100 pairs, and of others
FRACTION_NEAR = 0.85
FAR_FROM_NODES = 0.33  # of a typical edge: an end without a node is so far from all nodes
PAIRS_TO_NO_NODE = 3  # in a drawing: from a node to ink where none lies
NODES_AROUND = 3  # nearest to such ink, of which one is taken
COUNTED_DRAWINGS, COUNTED_BATCHES = 500, 200  # by which kinds are counted


class _Patches(NamedTuple):
    """Patches with what they show."""

    pixels: NDArray[np.uint8]  # (E, h, w), 0 = ink
    lengths: NDArray[np.float32]  # (E,) over a typical edge
    kinds: NDArray[np.int64]  # (E,) of KINDS
    are_inkless: NDArray[np.bool_]  # (E,)


def train_edge_reader(
    store: DrawingStore, vocabulary: Vocabulary, settings: Settings, num_steps: int, start: EdgeReader | None = None
) -> tuple[EdgeReader, dict[str, float]]:
    """An edge reader, and the fractions of the kinds that it tells right in drawings kept back.

    It begins as `start`, or from scratch.
    """
    rng = seeded(settings)
    reader = EdgeReader()
    graphs = [graph_of(store.drawing(index)) for index in range(len(store))]
    cuts = (_cut(drawing, rng) for drawing in drawings_to_learn(store, graphs, vocabulary, settings))
    feed = sampled_again(cuts, _sampled_as, np.ones(2 * len(KINDS)))
    log_prior_ratios = _log_prior_ratios(graphs, store, feed)
    if start is not None:
        reader.load_state_dict(start.state_dict())
        reader.add_to_kind_logits(-log_prior_ratios)  # about as it was when it learned
    learn(reader, [(list(reader.parameters()), LEARNING_RATE)], 0.02, _losses(reader, feed), num_steps)
    measure_norms(reader, lambda: _read(reader, next(feed)))
    reader.add_to_kind_logits(log_prior_ratios)
    reader.eval()
    kept_back = (_cut(drawing, rng) for drawing in drawings_kept_back(store, vocabulary, settings, rng))
    told = ((_read(reader, cut).argmax(dim=1).numpy(), cut.kinds) for cut in kept_back)
    return reader, fractions_right(KINDS, told)


def _losses(reader: EdgeReader, feed: Iterator[_Patches]) -> Iterator[Tensor]:
    for some in feed:
        with autocast(torch.device("cpu"), "auto"):
            logits = reader(varied(as_input(some.pixels)), torch.from_numpy(some.lengths))
        yield nn.functional.cross_entropy(logits.float(), torch.from_numpy(some.kinds), label_smoothing=0.01)


def _read(reader: EdgeReader, patches: _Patches) -> Tensor:
    logits: Tensor = reader(as_input(patches.pixels), torch.from_numpy(patches.lengths))
    return logits


def _sampled_as(patches: _Patches) -> NDArray[np.int64]:
    """What patches are sampled as: kinds with ink, then kinds without any."""
    return patches.kinds + len(KINDS) * patches.are_inkless


def _cut(drawing: WornDrawing, rng: np.random.Generator) -> _Patches:
    """Patches of a drawing: between many of the nodes that an edge joins, and between others that nothing joins."""
    graph, ink, marks_xy = drawing
    pixels = drawing.pixels()
    targets = targets_of([graph], marks_xy[None], rng)
    ends, kinds = targets.ends_xy.numpy(), targets.pair_kinds.numpy()
    if not len(kinds):
        return _Patches(edge_patches(pixels, ends), np.zeros(0, np.float32), kinds, np.zeros(0, bool))
    typical = float(targets.lengths_px[0])
    to_none = _ends_at_no_node(ink, marks_xy[graph.atoms], typical, rng)
    ends, kinds = np.concatenate((ends, to_none)), np.append(kinds, np.full(len(to_none), NOTHING))
    are_inkless = ink_between(pixels, ends) < INKLESS
    fractions = np.array([FRACTIONS_CUT.get(kind, 1.0) for kind in range(len(KINDS))])[kinds]
    fractions[(kinds == NOTHING) & are_inkless] *= FRACTION_OF_INKLESS_CUT
    fractions[len(fractions) - len(to_none) :] = 1
    is_cut = rng.random(len(kinds)) < fractions
    ends, kinds, are_inkless = ends[is_cut], kinds[is_cut], are_inkless[is_cut]
    spread = typical * np.where(rng.random(len(ends)) < FRACTION_NEAR, *JITTER)
    ends = (ends + rng.normal(size=ends.shape) * spread[:, None, None]).astype(np.float32)
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) / typical
    return _Patches(edge_patches(pixels, ends), lengths.astype(np.float32), kinds, are_inkless)


def _ends_at_no_node(
    ink: np.ndarray, nodes_xy: np.ndarray, typical: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Pairs (P, 2, 2) of a node and of ink that is near it and far from all nodes, in random order."""
    inked = np.argwhere(ink > 0.5)[:, ::-1]
    if not len(inked):
        return np.zeros((0, 2, 2), np.float32)
    spots = inked[rng.integers(len(inked), size=PAIRS_TO_NO_NODE)]
    distances = np.linalg.norm(spots[:, None] - nodes_xy, axis=2)  # (P, A)
    is_far = distances.min(axis=1) > FAR_FROM_NODES * typical
    spots, nearest = spots[is_far], distances[is_far].argsort(axis=1)[:, :NODES_AROUND]
    nodes = nearest[np.arange(len(spots)), rng.integers(nearest.shape[1], size=len(spots))]
    pairs = np.stack((nodes_xy[nodes], spots), axis=1).astype(np.float32)
    is_turned = rng.random(len(pairs)) < 0.5
    pairs[is_turned] = pairs[is_turned, ::-1]
    return pairs


def _log_prior_ratios(graphs: list[TaughtGraph], store: DrawingStore, sampled: Iterator[_Patches]) -> Tensor:
    """Log of the frequency of KINDS (K,) among pairs of drawings over that among sampled patches, 0 on average."""
    rng = np.random.default_rng(0)
    true, taught = np.ones(len(KINDS)), np.ones(len(KINDS))
    for index in range(min(COUNTED_DRAWINGS, len(graphs))):
        targets = targets_of([graphs[index]], store.drawing(index).positions_xy[None], rng)
        true += np.bincount(targets.pair_kinds.numpy(), minlength=len(KINDS))
    for _ in range(COUNTED_BATCHES):
        taught += np.bincount(next(sampled).kinds, minlength=len(KINDS))
    ratios = np.log(true) - np.log(taught)
    return torch.from_numpy(ratios - ratios.mean()).float()
