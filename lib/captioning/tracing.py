"""Traces a caption on its image: where each node of what it describes lies, and what the edges between them look like.

Attention says roughly where the network saw each node. From there nodes move until the edges lie on ink and the ink
on edges. Then edges can be looked at one by one, however the image was drawn.
Knows nothing of molecules.

H W height and width of an image, h w of the encoder's grid, A nodes, E edges, I pixels of ink, T tokens, K kinds of
edges, N kinds of nodes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lib.captions.notations import Graph
from lib.images.trace_patches import edge_patches, node_patches, open_edges
from model.patch_reader import PatchReader, Readers

Floats = NDArray[np.float32]

TRACED_INK_BELOW = 178  # grey level under which a pixel is ink
AROUND = 1  # cells on each side of the attention peak that are averaged to a position
FAR_PX = 10.0  # the pull of ink grows no further beyond this distance
PAPER_PX = 16  # paper added around the image, so that edges may leave it
NUM_STEPS = 60
FIRST_STEP_PX, LAST_STEP_PX = 1.0, 0.05  # largest step of a node along each axis, first and last
MOMENTUM, SQUARES = 0.9, 0.99  # decay of the means of gradients and of their squares (Adam, arXiv 1412.6980)
ALONG_EDGE = np.linspace(0.1, 0.9, 9, dtype=np.float32)  # 0..1 along an edge, where its distance to ink is measured
MOST_INK = 400  # ink pixels, sampled at random, whose distance to edges is measured
LETTER_RADIUS_PX = 6.0  # ink this close to a node with a label belongs to the label
TOO_CLOSE = 0.7  # times the length of an edge; closer nodes without a common edge repel each other
FREE_PX = 9.0  # distance that a node may move from its attended position at no cost: a little over half a cell
# Weights of the terms: equal lengths of edges, edges on ink, nodes near attention, nodes apart, ink on edges.
LENGTHS, ON_INK, AS_SEEN, APART, COVERED = 4.0, 0.3, 0.05, 6.0, 0.5
UNEXPLAINED_PX = 3.0  # ink further than this from all edges and labels is unexplained


class Trace(NamedTuple):
    """A caption's graph laid on an image."""

    positions_xy: Floats  # (A, 2) pixels of the image
    kinds: Floats  # (E, K) probability of each kind of edge
    open_kinds: Floats  # (O, K) the same of edges that may leave the graph's open nodes
    node_kinds: Floats  # (A, N) probability of each kind of node
    unexplained: float  # fraction of the ink that neither an edge nor a letter lies on


def trace(pixels: NDArray[np.uint8], graph: Graph, attention: Floats, stride_px: int, readers: Readers) -> Trace:
    """Trace a graph on a cleaned image (H, W), 0 = ink; attention (T, h, w) is that on what each token names."""
    seen = attended_positions(attention[graph.tokens], stride_px)
    edges = np.array(graph.edges, np.int64).reshape(-1, 2)
    positions, unexplained = fit(pixels, seen, edges, np.array(graph.is_lettered, bool), 1.25 * stride_px)
    ends = np.concatenate((positions[edges], open_edges(positions, edges, graph.open_nodes)))
    ink = (1 - pixels / 255).astype(np.float32)
    kinds = _read(readers.edges, edge_patches(ink, ends))
    along = np.linalg.norm(positions[edges[:, 1]] - positions[edges[:, 0]], axis=1)
    length = float(np.median(along)) if len(edges) else 1.25 * stride_px
    nodes = _read(readers.nodes, node_patches(ink, positions, length))
    return Trace(positions, kinds[: len(edges)], kinds[len(edges) :], nodes, unexplained)


@torch.inference_mode()
def _read(reader: PatchReader, patches: Floats) -> Floats:
    kinds: Floats = reader(torch.from_numpy(patches)[:, None]).softmax(dim=1).numpy()
    return kinds


def attended_positions(attention: Floats, stride_px: int) -> Floats:
    """Where attention (A, h, w) saw each node: x, y in pixels (A, 2), the mean of the cells around its peak."""
    num_rows, num_columns = attention.shape[1:]
    rows, columns = np.mgrid[:num_rows, :num_columns]
    peaks = attention.reshape(len(attention), -1).argmax(axis=1)[:, None, None]
    is_near = np.maximum(abs(rows - peaks // num_columns), abs(columns - peaks % num_columns)) <= AROUND
    weights = attention * is_near + 1e-9 * is_near
    total = weights.sum(axis=(1, 2))
    centres = [(weights * cells).sum(axis=(1, 2)) / total for cells in (columns, rows)]
    return ((np.stack(centres, axis=1) + 0.5) * stride_px).astype(np.float32)


def fit(
    pixels: NDArray[np.uint8], seen: Floats, edges: NDArray[np.int64], is_lettered: NDArray[np.bool_], length_px: float
) -> tuple[Floats, float]:
    """Move nodes (A, 2) until edges (E, 2) and ink agree; the fraction of the ink that lies on none of them even so.

    length_px is about the length of an edge.
    """
    ink = np.pad((pixels < TRACED_INK_BELOW).astype(np.uint8), PAPER_PX)
    away = np.minimum(cv2.distanceTransform(1 - ink, cv2.DIST_L2, 5), FAR_PX)
    slopes = [slope.astype(np.float32) for slope in np.gradient(away)[::-1]]  # along x, along y
    points = np.argwhere(ink)[:, ::-1].astype(np.float32)
    points = points[np.random.default_rng(0).permutation(len(points))[:MOST_INK]]
    if not len(edges) or not len(points):
        return seen, 1.0
    origin = seen + PAPER_PX
    positions, mean, squares = origin.copy(), np.zeros_like(origin), np.zeros_like(origin)
    is_apart = ~np.eye(len(seen), dtype=bool)
    is_apart[edges[:, 0], edges[:, 1]] = is_apart[edges[:, 1], edges[:, 0]] = False
    lettered = np.flatnonzero(is_lettered)
    distances = np.zeros(0, np.float32)
    for step in range(NUM_STEPS):
        slope = _pull_of_lengths(positions, edges, length_px)
        slope += ON_INK * _pull_to_ink(positions, edges, slopes)
        slope += AS_SEEN * 2 * np.sign(positions - origin) * np.maximum(abs(positions - origin) - FREE_PX, 0)
        slope += _push_apart(positions, is_apart, TOO_CLOSE * length_px)
        pull, distances = _pull_of_ink(positions, edges, lettered, points)
        slope += COVERED * len(seen) * pull
        mean = MOMENTUM * mean + (1 - MOMENTUM) * slope
        squares = SQUARES * squares + (1 - SQUARES) * slope**2
        unbiased = mean / (1 - MOMENTUM ** (step + 1)), squares / (1 - SQUARES ** (step + 1))
        size = FIRST_STEP_PX * (1 - step / NUM_STEPS) + LAST_STEP_PX
        positions = (positions - size * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)).astype(np.float32)
    return positions - PAPER_PX, float((distances > UNEXPLAINED_PX).mean())


def _pull_of_lengths(positions: Floats, edges: NDArray[np.int64], length_px: float) -> Floats:
    """Slope of LENGTHS times the squared differences of edges' lengths from length_px, over length_px."""
    along = positions[edges[:, 1]] - positions[edges[:, 0]]
    lengths = np.linalg.norm(along, axis=1, keepdims=True) + 1e-6
    pull = LENGTHS * 2 * (lengths - length_px) / length_px**2 * along / lengths
    return _summed(positions, edges, -pull, pull)


def _pull_to_ink(positions: Floats, edges: NDArray[np.int64], slopes: Sequence[Floats]) -> Floats:
    """Slope of the sum over edges of their mean distance to ink, of that distance's slopes (H, W) along x and y."""
    first, second = positions[edges[:, 0], None], positions[edges[:, 1], None]
    samples = (first + (second - first) * ALONG_EDGE[:, None]).astype(np.float32)  # (E, S, 2)
    down = np.stack([cv2.remap(slope, samples[..., 0], samples[..., 1], cv2.INTER_LINEAR) for slope in slopes], axis=2)
    along_edge = ALONG_EDGE[:, None]
    return _summed(positions, edges, (down * (1 - along_edge)).mean(axis=1), (down * along_edge).mean(axis=1))


def _push_apart(positions: Floats, is_apart: NDArray[np.bool_], closest_px: float) -> Floats:
    """Slope of APART times the squared shortfalls of distances between nodes that no edge joins."""
    between = positions[:, None] - positions[None]
    distances = np.sqrt((between**2).sum(axis=2) + 1e-6)
    shortfall = np.where(is_apart, np.maximum(closest_px - distances, 0), 0)
    slope: Floats = (
        -APART * 4 * (TOO_CLOSE / closest_px) ** 2 * ((shortfall / distances)[..., None] * between).sum(axis=1)
    )
    return slope


def _pull_of_ink(
    positions: Floats, edges: NDArray[np.int64], lettered: NDArray[np.int64], points: Floats
) -> tuple[Floats, Floats]:
    """Slope of the mean distance of ink to what is nearest of edges and letters, and these distances (I,)."""
    first, along = positions[edges[:, 0]], positions[edges[:, 1]] - positions[edges[:, 0]]
    squared = np.maximum((along**2).sum(axis=1), 1)
    along_edge = np.clip((points @ along.T - (first * along).sum(axis=1)) / squared, 0, 1)  # (I, E)
    away_x = points[:, None, 0] - first[:, 0] - along_edge * along[:, 0]
    away_y = points[:, None, 1] - first[:, 1] - along_edge * along[:, 1]
    distances = np.sqrt(away_x**2 + away_y**2 + 1e-6)
    rows, nearest = np.arange(len(points)), distances.argmin(axis=1)
    distance = distances[rows, nearest]
    slope = np.zeros_like(positions)
    is_pulling = distance < FAR_PX
    if len(lettered):
        to_letters = np.linalg.norm(points[:, None] - positions[lettered], axis=2)
        letter = to_letters.argmin(axis=1)
        beyond = np.maximum(to_letters[rows, letter] - LETTER_RADIUS_PX, 0)
        is_of_letter = beyond < distance
        is_pulling &= ~is_of_letter
        pulled = np.flatnonzero(is_of_letter & (beyond > 0) & (beyond < FAR_PX))
        nodes = lettered[letter[pulled]]
        unit = (points[pulled] - positions[nodes]) / to_letters[pulled, letter[pulled], None]
        np.add.at(slope, nodes, -unit / len(points))
        distance = np.minimum(distance, beyond)
    pulled = np.flatnonzero(is_pulling)
    edge = nearest[pulled]
    unit = np.stack((away_x[pulled, edge], away_y[pulled, edge]), axis=1) / distances[pulled, edge, None] / len(points)
    near_second = along_edge[pulled, edge, None]
    np.add.at(slope, edges[edge, 0], -unit * (1 - near_second))
    np.add.at(slope, edges[edge, 1], -unit * near_second)
    return slope, distance


def _summed(positions: Floats, edges: NDArray[np.int64], at_first: Floats, at_second: Floats) -> Floats:
    slope = np.zeros_like(positions)
    np.add.at(slope, edges[:, 0], at_first)
    np.add.at(slope, edges[:, 1], at_second)
    return slope
