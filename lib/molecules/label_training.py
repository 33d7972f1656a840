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
from lib.molecules.drawing_feed import num_kept_back
from lib.molecules.drawing_store import DrawingStore
from lib.molecules.graph_training import (
    UNKNOWN,
    TaughtGraph,
    class_weights,
    drawing_sampling_weights,
    graph_of,
    worn_batches,
    worn_drawings,
)
from lib.molecules.reader_training import learn
from lib.settings import Settings
from model.batches import as_ink
from model.graph_kinds import PATCH_HEIGHT, PATCH_WIDTH, WRITTEN_KINDS
from model.label_reader import NOT_A_NODE, LabelReader
from model.precision import autocast
from model.vocabulary import Vocabulary

BATCH_SIZE, LEARNING_RATE = 256, 3e-3
BUFFER_SIZE, MIN_BUFFERED = 30_000, 3_000  # patches to sample from; the fewest
NUM_NORM_BATCHES = 40  # by which the norms are measured
USES_PER_PATCH = 2  # on average: a drawing takes longer to wear than its patches to look at
SAMPLING_EXPONENT = 0.6  # a kind is sampled in proportion to the number of its patches to this power
FRACTIONS_CUT = {"C": 0.12, "N": 0.7, "O": 0.7}  # of the nodes of the commonest kinds
FRACTION_OF_END_CARBONS_CUT = 0.8  # these may be written out
WRITTEN_CARBON = NOT_A_NODE + 1  # sampled as a kind of their own: few carbons are written out
WRITTEN_CARBON_WEIGHT = 2.0  # times the sampling weight of another kind of as many patches
# Of a typical edge: where around a carbon letters are looked for, and how far from its edges that is.
AROUND, ASIDE = (0.12, 0.32), 0.13
LETTERS_FROM = 0.09  # part of that with ink
JITTER_PX = (1.2, 3.5)  # standard deviations of where nodes are found: of 85 in 100, and of others
FAR_FROM_NODES = 0.33  # of a typical edge: ink that is further away from all nodes is none
THICK, BLURRED, SHARP, PALE = 0.12, 0.08, 0.06, 0.08  # fractions of batches


class _Patches(NamedTuple):
    """Patches with what they show."""

    pixels: NDArray[np.uint8]  # (N, h, w), 0 = ink
    kinds: NDArray[np.int64]  # (N,) of WRITTEN_KINDS, or NOT_A_NODE
    charges: NDArray[np.int64]  # (N,) of CHARGES
    sampled_as: NDArray[np.int64]  # (N,) the kind, or WRITTEN_CARBON

    def as_input(self) -> Tensor:
        """The patches as the network takes them (N, 1, h, w)."""
        return as_ink(torch.from_numpy(self.pixels))[:, None]


def train_label_reader(
    store: DrawingStore, vocabulary: Vocabulary, settings: Settings, num_steps: int, start: LabelReader | None = None
) -> tuple[LabelReader, dict[str, float]]:
    """A label reader, and the fractions of the kinds that it tells right around nodes of drawings kept back.

    It begins as `start`, or from scratch.
    """
    torch.manual_seed(settings.training.seed)
    rng = np.random.default_rng(settings.training.seed)
    reader = LabelReader()
    if start is not None:
        reader.load_state_dict(start.state_dict())
    graphs = [graph_of(store.drawing(index)) for index in range(len(store))]
    log_prior_ratios = _log_prior_ratios(graphs)
    if start is not None:
        reader.add_to_kind_logits(-log_prior_ratios)  # about as it was when it learned
    feed = _batches(store, graphs, vocabulary, settings, rng)
    learn(reader, [(list(reader.parameters()), LEARNING_RATE)], 0.02, _losses(reader, feed), num_steps)
    _measure_norms(reader, feed)
    reader.add_to_kind_logits(log_prior_ratios)
    reader.eval()
    return reader, _fractions_right(reader, store, vocabulary, settings, rng)


def _losses(reader: LabelReader, feed: Iterator[_Patches]) -> Iterator[Tensor]:
    for some in feed:
        with autocast(torch.device("cpu"), "auto"):
            labels = reader(_varied(some.as_input()))
        loss = nn.functional.cross_entropy(labels.kinds.float(), torch.from_numpy(some.kinds), label_smoothing=0.02)
        yield loss + 0.5 * nn.functional.cross_entropy(labels.charges.float(), torch.from_numpy(some.charges))


@torch.inference_mode()
def _measure_norms(reader: LabelReader, feed: Iterator[_Patches]) -> None:
    """Measure means and variances of features anew: the average of many networks' is not that of their average."""
    for part in reader.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None  # all batches count the same
    reader.train()
    for _ in range(NUM_NORM_BATCHES):
        reader(next(feed).as_input())


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


def _batches(
    store: DrawingStore, graphs: list[TaughtGraph], vocabulary: Vocabulary, settings: Settings, rng: np.random.Generator
) -> Iterator[_Patches]:
    """Batches of patches, sampled again and again from the latest that were cut; rare kinds more often."""
    all_kinds = [graph.kinds for graph in graphs]
    drawings = worn_batches(store, drawing_sampling_weights(all_kinds, class_weights(all_kinds)), vocabulary, settings)
    kept = _Patches(
        np.zeros((BUFFER_SIZE, PATCH_HEIGHT, PATCH_WIDTH), np.uint8), *(np.zeros(BUFFER_SIZE, int) for _ in range(3))
    )
    num_made = num_used = 0
    while True:
        while num_made < max(MIN_BUFFERED, (num_used + BATCH_SIZE) / USES_PER_PATCH):
            indices, batch = next(drawings)
            assert batch.marks is not None
            for index, image, marks_xy in zip(indices, batch.images, batch.marks.positions_xy, strict=True):
                cut = _cut(graphs[index], image[0].float().numpy(), marks_xy.numpy(), rng)
                at = (num_made + np.arange(len(cut.kinds))) % BUFFER_SIZE
                kept.pixels[at], kept.kinds[at], kept.charges[at], kept.sampled_as[at] = cut
                num_made += len(at)
        sampled_as = kept.sampled_as[:num_made]
        bounds = _patch_sampling_weights(sampled_as).cumsum()
        chosen = np.searchsorted(bounds, rng.random(BATCH_SIZE) * bounds[-1]).clip(max=len(bounds) - 1)
        num_used += BATCH_SIZE
        yield _Patches(*(part[chosen] for part in kept))


def _patch_sampling_weights(sampled_as: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often patches (N,) are sampled, relative to each other, by what they are sampled as."""
    sampling_weights: NDArray[np.float64] = np.bincount(sampled_as).clip(1)[sampled_as] ** (SAMPLING_EXPONENT - 1)
    sampling_weights[sampled_as == WRITTEN_CARBON] *= WRITTEN_CARBON_WEIGHT
    return sampling_weights


def _cut(graph: TaughtGraph, ink: np.ndarray, marks_xy: np.ndarray, rng: np.random.Generator) -> _Patches:
    """Patches of a worn drawing (H, W) with ink = 1: around many of its nodes, and one around none."""
    nodes_xy = marks_xy[graph.atoms]
    is_cut = rng.random(len(nodes_xy)) < _fractions_cut(graph)
    spread = np.where(rng.random(is_cut.sum()) < 0.85, *JITTER_PX)
    middles = nodes_xy[is_cut] + rng.normal(size=(len(spread), 2)) * spread[:, None]
    kinds, charges, sampled_as = graph.kinds[is_cut], graph.charges[is_cut], graph.kinds[is_cut]
    inked = np.argwhere(ink > 0.5)[:, ::-1]
    if len(graph.edges) and len(inked):
        typical = float(np.median(np.linalg.norm(np.diff(nodes_xy[graph.edges], axis=1), axis=2)))
        is_carbon = is_cut & (graph.kinds == WRITTEN_KINDS.index("C"))
        for node in np.flatnonzero(is_carbon).tolist():
            if _is_written(ink, nodes_xy, graph.edges, node, typical):
                sampled_as[is_cut[:node].sum()] = WRITTEN_CARBON
        spot = inked[rng.integers(len(inked))]
        if np.linalg.norm(nodes_xy - spot, axis=1).min() > FAR_FROM_NODES * typical:
            middles, charges = np.vstack((middles, spot)), np.append(charges, 0)
            kinds, sampled_as = np.append(kinds, NOT_A_NODE), np.append(sampled_as, NOT_A_NODE)
    pixels = np.rint(255 * (1 - ink)).clip(0, 255).astype(np.uint8)
    return _Patches(node_patches(pixels, middles), kinds, charges, sampled_as)


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


def _varied(patches: Tensor) -> Tensor:
    """Patches (N, 1, h, w), in some batches thicker, blurred, without grey, or paler."""
    lot = float(torch.rand(()))
    for fraction, change in ((THICK, _thicker), (BLURRED, _blurred), (SHARP, _sharp), (PALE, _paler)):
        if lot < fraction:
            return change(patches)
        lot -= fraction
    return patches


def _thicker(patches: Tensor) -> Tensor:
    return nn.functional.pad(nn.functional.max_pool2d(patches, 2, stride=1), (0, 1, 0, 1))


def _blurred(patches: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(patches, 3, stride=1, padding=1)


def _sharp(patches: Tensor) -> Tensor:
    return (patches > 0.5).float()


def _paler(patches: Tensor) -> Tensor:
    return patches * (0.5 + torch.rand(len(patches), 1, 1, 1) / 2)


@torch.inference_mode()
def _fractions_right(
    reader: LabelReader, store: DrawingStore, vocabulary: Vocabulary, settings: Settings, rng: np.random.Generator
) -> dict[str, float]:
    """The fraction of each kind in the drawings that are kept back that is told right."""
    told, true = [], []
    for index in range(num_kept_back(store)):
        batch = worn_drawings(store, [index], vocabulary, settings, rng)
        assert batch.marks is not None
        cut = _cut(
            graph_of(store.drawing(index)), batch.images[0, 0].float().numpy(), batch.marks.positions_xy[0].numpy(), rng
        )
        told.append(reader(cut.as_input()).kinds.argmax(dim=1).numpy())
        true.append(cut.kinds)
    kinds = np.concatenate(true)
    is_right = np.concatenate(told) == kinds
    names = (*WRITTEN_KINDS, "no node")
    return {names[kind]: float(is_right[kinds == kind].mean()) for kind in np.unique(kinds).tolist()}
