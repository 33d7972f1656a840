"""Reads a drawing as a graph: finds its nodes, reads what is written there, and looks at every two that are near.

Knows nothing of molecules.

It looks at one piece of the drawing at a time, where the captioner writes what it expects next: large drawings, rare
labels and unusual layouts cost it less.

H W height and width of an image, A nodes, E pairs of nodes, K kinds of edges, N kinds of nodes.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lib.captions.notations import DrawnGraph
from lib.images.edge_patches import edge_patches
from lib.images.ink_between import INK_BELOW, INKLESS, ink_between, is_wavy
from lib.images.node_patches import node_patches
from model.batches import as_ink, stack_images
from model.edge_reader import EdgeReader, pretrained_edge_reader
from model.graph_kinds import MAX_HYDROGENS, NOTHING, SINGLE, STEREO, TURNED_ROUND, WRITTEN_KINDS
from model.graph_reader import CELL_PX, GraphReader, Spots, pretrained_graph_reader
from model.label_reader import NOT_A_NODE, LabelReader, Labels, pretrained_label_reader
from model.precision import autocast

LABEL_READER_WEIGHT = 1.5  # of the label reader's log-probabilities; the graph reader's have weight 1
EDGE_READER_WEIGHT = 0.5  # the same of the edge reader's
ON_THE_WAY, BESIDE_THE_WAY = (0.15, 0.85), 0.15  # of its length, where another node lies on the way of a pair
CARBON = WRITTEN_KINDS.index("C")  # seldom has a label
MAY_BE_EDGE_FROM = 0.01  # probability that something joins two nodes, from which the edge reader is asked too
MAX_NODES = 250  # no caption has so many, and what is no drawing may have thousands
# Probability from which the graph reader is not asked about again: of what joins two nodes, and of a carbon. The other
# readers never said otherwise (LOG.md).
SURE_FROM = 0.98
NODE_FROM = 0.3  # probability from which a cell has a node
CLOSEST_PX = 6.0  # of two nodes that are closer the likelier stays
NEAR = (0.25, 2.0)  # distances of nodes that may be joined, over the length of an edge
EDGE_FROM = 0.5  # probability that something joins two nodes
SURE_OF_NODES_FROM = -0.32  # no drawing that is read right has been less sure (LOG.md)
SMALLER_SIZES = (0.5, 0.7)  # factors
LENGTH_MAY_DIFFER = 0.1  # part of the length of an edge that need not be measured again
WHOLE_FROM = 0.97  # part of the middle of an edge that has ink, below which it has a gap
UNSEEN_GAPS = 0.3  # added to the number of edges with a gap
MAX_ODDS_WITHOUT_INK = (
    0.05  # the odds of an edge without ink are multiplied by the fraction of edges with gaps, at most by this
)


class Readers(NamedTuple):
    """What reads a drawing as a graph."""

    graphs: GraphReader
    labels: LabelReader
    edges: EdgeReader
    sure_from: float = SURE_FROM
    label_weight: float = LABEL_READER_WEIGHT


@cache
def pretrained_readers(name: str) -> Readers:
    """Return the readers of that name that come with the project, ready to read."""
    return Readers(pretrained_graph_reader(name), pretrained_label_reader(name), pretrained_edge_reader(name))


@torch.inference_mode()
def read_graph(pixels: NDArray[np.uint8], readers: Readers) -> DrawnGraph | None:
    """The graph of a cleaned image (H, W), 0 = ink; None without any edge, or of far more nodes than captions have."""
    with autocast(torch.device("cpu"), "auto"):
        spots = readers.graphs(as_ink(stack_images([pixels], 1)))
    spots = Spots(*(part.float() for part in spots))
    nodes = _read_nodes(pixels, spots, readers)
    joined = _read_pairs(pixels, spots, nodes.positions_xy, readers) if nodes else None
    if nodes is None or joined is None:
        return None
    pairs, kinds, gap_fraction = joined
    ink = _ink_of_nodes(pixels, nodes.positions_xy[pairs[kinds[:, NOTHING] < EDGE_FROM]], nodes.positions_xy)
    return DrawnGraph(*(part.numpy() for part in (*nodes, ink, pairs, kinds, gap_fraction)))


def _ink_of_nodes(pixels: NDArray[np.uint8], edges: Tensor, positions: Tensor) -> Tensor:
    """The fractions (A,) of the ink of an image (H, W) that is nearest to each of the nodes at positions (A, 2).

    Ink that is further away from all than the typical one of the edges (E, 2, 2) is long belongs to none.
    """
    height, width = pixels.shape
    columns, rows = positions.round().long().numpy().clip(0, (width - 1, height - 1)).T
    is_elsewhere = np.ones_like(pixels)
    is_elsewhere[rows, columns] = 0
    far, nearest = cv2.distanceTransformWithLabels(is_elsewhere, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    length = float((edges[:, 1] - edges[:, 0]).norm(dim=1).median()) if len(edges) else 0.0
    has_ink = pixels < INK_BELOW
    counts = np.bincount(nearest[has_ink & (far <= length)], minlength=int(nearest.max()) + 1)
    return torch.from_numpy(counts[nearest[rows, columns]] / max(1, np.count_nonzero(has_ink)))


class _Nodes(NamedTuple):
    """Nodes, as in DrawnGraph."""

    positions_xy: Tensor  # (A, 2)
    found: Tensor  # (A,)
    kinds: Tensor  # (A, N)
    charges: Tensor  # (A, 3)
    hydrogens: Tensor  # (A, 4)


def _read_nodes(pixels: NDArray[np.uint8], spots: Spots, readers: Readers) -> _Nodes | None:
    """The nodes of an image (H, W); None if there are too few or too many."""
    rows, columns, found = _nodes(spots.is_node[0].sigmoid())
    positions = _positions(spots, rows, columns)
    kept = _apart(positions, found)
    rows, columns, found, positions = rows[kept], columns[kept], found[kept], positions[kept]
    if not 2 <= len(positions) <= MAX_NODES:
        return None
    kinds, charges = (part[0, :, rows, columns].T for part in (spots.kinds, spots.charges))  # logits
    hydrogens = torch.zeros(len(positions), 1 + MAX_HYDROGENS)
    asked = (kinds.softmax(dim=1)[:, CARBON] < readers.sure_from).nonzero()[:, 0]
    labels = _labels(pixels, positions[asked], readers.labels)
    kinds[asked] += readers.label_weight * labels.kinds[:, :NOT_A_NODE]
    charges[asked] += readers.label_weight * labels.charges
    hydrogens[asked] = labels.hydrogens
    return _Nodes(positions, found, *(logits.softmax(dim=1) for logits in (kinds, charges, hydrogens)))


def _read_pairs(
    pixels: NDArray[np.uint8], spots: Spots, positions: Tensor, readers: Readers
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Pairs (E, 2) of nodes at positions (A, 2) that are near each other, kinds (E, K), and the fraction with gaps.

    None without any edge.
    """
    distances = torch.cdist(positions, positions)
    length = float((distances + 1e9 * torch.eye(len(positions))).amin(dim=1).median())
    for _ in range(2):
        near = (distances > NEAR[0] * length) & (distances < NEAR[1] * length)
        pairs = near.triu(1).nonzero()  # (E, 2)
        kinds = _edges(pixels, spots.features, positions, pairs, length, readers)
        is_edge = kinds[:, NOTHING] < EDGE_FROM
        if not is_edge.any():
            return None
        measured = float(distances[tuple(pairs.T)][is_edge].median())
        if abs(measured / length - 1) <= LENGTH_MAY_DIFFER:
            break
        length = measured
    ends = positions[pairs].numpy()
    covered = torch.from_numpy(ink_between(pixels, ends))
    gap_fraction = _gap_fraction(covered, kinds)
    kinds = _with_less_odds_without_ink(kinds, covered, gap_fraction)
    return pairs, _without_wavy(pixels, ends, kinds), torch.tensor(gap_fraction)


def _gap_fraction(covered: Tensor, kinds: Tensor) -> float:
    """The fraction of edges that have gaps, of pairs with that part (E,) of their middle covered, and kinds (E, K)."""
    of_edges = covered[(covered >= INKLESS) & (kinds[:, NOTHING] < EDGE_FROM)]
    num_gaps = int((of_edges < WHOLE_FROM).sum()) + UNSEEN_GAPS
    return float(min(1.0, num_gaps / max(len(of_edges), 1)))


def _with_less_odds_without_ink(kinds: Tensor, covered: Tensor, gap_fraction: float) -> Tensor:
    """Kinds (E, K) of edges, with lower odds for those without ink: the networks expect some rings too surely."""
    rarer = kinds.clone()
    rarer[covered < INKLESS, NOTHING] /= min(MAX_ODDS_WITHOUT_INK, gap_fraction)
    return rarer / rarer.sum(dim=1, keepdim=True)


def _without_wavy(pixels: NDArray[np.uint8], ends: NDArray[np.float32], kinds: Tensor) -> Tensor:
    """Kinds (E, K) of edges, where wavy lines, which say nothing of stereo, are single."""
    stereo = torch.isin(kinds.argmax(dim=1), torch.tensor(STEREO)).nonzero()[:, 0]
    wavy = stereo[torch.from_numpy(is_wavy(pixels, ends[stereo.numpy()]))]
    plain = kinds.clone()
    plain[wavy, SINGLE] += kinds[wavy][:, STEREO].sum(dim=1)
    plain[wavy[:, None], STEREO] = 0
    return plain


def _labels(pixels: NDArray[np.uint8], positions: Tensor, reader: LabelReader) -> Labels:
    """What is written at positions (A, 2) of an image (H, W)."""
    patches = torch.from_numpy(node_patches(pixels, positions.numpy()))
    with autocast(torch.device("cpu"), "auto"):
        labels = reader(as_ink(patches)[:, None])
    return Labels(*(part.float() for part in labels))


def read_at_best_size(pixels: NDArray[np.uint8], readers: Readers) -> DrawnGraph | None:
    """The graph of a cleaned image (H, W), which is read smaller too if its nodes are in doubt.

    Where letters are large, their strokes are taken for bonds when cleaning measures the scale of a drawing.
    """
    graph = read_graph(pixels, readers)
    if _how_sure_of_nodes(graph) >= SURE_OF_NODES_FROM:
        return graph
    return max((graph, *(_read_smaller(pixels, readers, factor) for factor in SMALLER_SIZES)), key=_how_sure_of_nodes)


def _read_smaller(pixels: NDArray[np.uint8], readers: Readers, factor: float) -> DrawnGraph | None:
    """The graph of an image at a smaller size, with positions in the image as it is."""
    smaller: NDArray[np.uint8] = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    graph = read_graph(smaller, readers)
    return graph and graph._replace(positions_xy=(graph.positions_xy + 0.5) / factor - 0.5)


def how_legible(graph: DrawnGraph | None) -> float:
    """The mean logarithm of the probabilities of what is taken to be written at nodes; low without a graph."""
    return float(np.log(graph.kinds.max(axis=1)).mean()) if graph else math.log(1 / len(WRITTEN_KINDS))


def _how_sure_of_nodes(graph: DrawnGraph | None) -> float:
    """The mean logarithm of the probabilities of nodes; low without a graph."""
    return float(np.log(graph.found).mean()) if graph else math.log(NODE_FROM)


def _nodes(is_node: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (A,), columns (A,) and probabilities (A,) of the cells that are likelier than all around them."""
    likeliest = torch.nn.functional.max_pool2d(is_node[None, None], 3, stride=1, padding=1)[0, 0]
    rows, columns = ((is_node == likeliest) & (is_node > NODE_FROM)).nonzero(as_tuple=True)
    return rows, columns, is_node[rows, columns]


def _positions(spots: Spots, rows: Tensor, columns: Tensor) -> Tensor:
    """Places (A, 2) of the nodes of cells, x and y in pixels."""
    offsets = spots.offsets[0][:, rows, columns].clamp(-1, 1)  # (2, A)
    return ((torch.stack((columns, rows)) + 0.5 + offsets) * CELL_PX - 0.5).T


def _apart(positions: Tensor, found: Tensor) -> list[int]:
    """Indices of nodes (A, 2), likely ones first, of which none is too close to a likelier one."""
    kept: list[int] = []
    is_close = torch.cdist(positions, positions) <= CLOSEST_PX
    for index in found.argsort(descending=True, stable=True).tolist():
        if not is_close[index, kept].any():
            kept.append(index)
    return kept


def _edges(
    pixels: NDArray[np.uint8], features: Tensor, positions: Tensor, pairs: Tensor, length: float, readers: Readers
) -> Tensor:
    """Probabilities (E, K) of what joins pairs (E, 2) of nodes at positions (A, 2), looked at from either end."""
    ends = positions[pairs]
    owners, lengths = torch.zeros(len(ends), dtype=torch.long), torch.full((len(ends),), length)
    kinds = _from_either_end(lambda one: readers.graphs.join(features, owners, one, lengths), ends).exp()
    may_be_edge = (kinds[:, NOTHING] < 1 - MAY_BE_EDGE_FROM) & (kinds.max(dim=1).values < readers.sure_from)
    asked = (may_be_edge & ~_pass_a_node(positions, pairs)).nonzero()[:, 0]
    if len(asked):
        of_patches = _from_either_end(lambda one: _of_patches(pixels, one, length, readers.edges), ends[asked])
        kinds[asked] = (kinds[asked].log() + EDGE_READER_WEIGHT * of_patches).softmax(dim=1)
    return kinds


def _pass_a_node(positions: Tensor, pairs: Tensor) -> Tensor:
    """Whether another node lies on the way of each pair (E, 2), as where two edges cross: a patch shows two edges."""
    begin, way = positions[pairs[:, 0]], positions[pairs[:, 1]] - positions[pairs[:, 0]]  # (E, 2)
    from_begin = positions - begin[:, None]  # (E, A, 2)
    squared = (way**2).sum(dim=1, keepdim=True)
    along = (from_begin * way[:, None]).sum(dim=2) / squared  # (E, A), 0 at the beginning, 1 at the end
    aside = (from_begin - along[..., None] * way[:, None]).norm(dim=2) / squared.sqrt()
    passes: Tensor = ((along > ON_THE_WAY[0]) & (along < ON_THE_WAY[1]) & (aside < BESIDE_THE_WAY)).any(dim=1)
    return passes


def _of_patches(pixels: NDArray[np.uint8], ends: Tensor, length: float, reader: EdgeReader) -> Tensor:
    """Logits (E, K) of what joins ends (E, 2, 2) by the ink along the way."""
    patches = torch.from_numpy(edge_patches(pixels, ends.numpy()))
    lengths = (ends[:, 1] - ends[:, 0]).norm(dim=1) / length
    with autocast(torch.device("cpu"), "auto"):
        logits: Tensor = reader(as_ink(patches)[:, None], lengths)
    return logits.float()


def _from_either_end(look: Callable[[Tensor], Tensor], ends: Tensor) -> Tensor:
    """The logarithms (E, K) of the mean probabilities of two looks at ends (E, 2, 2), one from either end."""
    forth, back = (look(one).softmax(dim=1) for one in (ends, ends.flip(1)))
    return ((forth + back[:, list(TURNED_ROUND)]) / 2).log()
