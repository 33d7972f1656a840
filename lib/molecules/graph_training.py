"""Trains the graph reader on stored drawings, each worn in its own way every time it is seen, at the size it reads.

B drawings, A nodes, E pairs of nodes, N kinds of nodes.
"""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor, nn

from lib.molecules.atom_labels import GROUPS
from lib.molecules.drawing_feed import like_with_like, num_kept_back, with_one_scale
from lib.molecules.drawing_marks import ELEMENTS, LABELS
from lib.molecules.drawing_store import DrawingStore, StoredDrawing
from lib.molecules.drawing_wear import worn_batch
from lib.molecules.reader_training import learn, seeded
from lib.settings import Settings
from model.batches import Batch
from model.captioner import Captioner
from model.graph_kinds import (
    CHARGES,
    DOUBLE,
    HASH,
    KINDS,
    NOTHING,
    SINGLE,
    TRIPLE,
    TURNED_ROUND,
    WEDGE,
    WITH_HYDROGENS,
    WRITTEN_KINDS,
)
from model.graph_reader import CELL_PX, GraphReader, Spots
from model.precision import autocast
from model.vocabulary import Vocabulary

BATCH_SIZE, LEARNING_RATE = 32, 2e-3
BACKBONE_RATE = 0.25  # times the rate of the rest: it has learned before
NEAR = (0.3, 2.0)  # distances of pairs that are looked at, over the median edge
JITTER = (0.05, 0.12)  # standard deviations of the ends of pairs, over the median edge: of nine tenths, and of others
CLASS_WEIGHT_EXPONENT = 0.35  # the class weight of a kind of node is its frequency to the power of minus this
WEIGHTS_OF_EDGES = {"nothing": 1.0, "single": 1.0, "double": 1.5, "triple": 1.5}  # 2.5 of wedges and hashes
SPREAD_CELLS, BESIDE = 0.7, 0.95  # of what cells beside a node's are taught; the most of it (arXiv 1904.07850)
SAMPLING_WEIGHT_RANGE = (0.6, 8.0)  # of drawings: the class weight of the rarest kind in one, within these bounds
UNKNOWN = -1  # kind of a node whose label is no element and no group that is known
KIND_OF = {"wedge": WEDGE, "hash": HASH, "triple bond": TRIPLE, "double bond": DOUBLE}  # the first that a bond has
_AT = {label: index for index, label in enumerate(LABELS)}


class TaughtGraph(NamedTuple):
    """A drawing as a graph; atoms that are written as one label are one node."""

    atoms: np.ndarray  # (A,) index of the atom at each node that bonds go to
    kinds: np.ndarray  # (A,) of WRITTEN_KINDS, or UNKNOWN
    charges: np.ndarray  # (A,) of CHARGES
    hydrogens: np.ndarray  # (A,) number that is written there, or UNKNOWN
    edges: np.ndarray  # (E, 2) indices of nodes
    edge_kinds: np.ndarray  # (E,) of KINDS


def graph_of(drawing: StoredDrawing) -> TaughtGraph:
    """What is to be seen in a drawing."""
    num_atoms = len(drawing.labels) - len(drawing.bonds)
    places: dict[tuple[float, float], int] = {}
    members: list[list[int]] = []
    node_of = np.zeros(num_atoms, np.int64)
    for atom, (x, y) in enumerate(drawing.positions_xy[:num_atoms].tolist()):
        node = places.setdefault((x, y), len(members))
        if node == len(members):
            members.append([])
        members[node].append(atom)
        node_of[atom] = node
    edges, edge_kinds = [], []
    anchors: dict[int, int] = {}
    for (begin, end), labels in zip(drawing.bonds.tolist(), drawing.labels[num_atoms:], strict=True):
        first, second = int(node_of[begin]), int(node_of[end])
        if first != second:
            anchors.setdefault(first, begin)
            anchors.setdefault(second, end)
            edges.append((first, second))
            edge_kinds.append(_kind_of_bond(labels))
    seen = [_seen(drawing.labels, atoms, anchors.get(node, atoms[0])) for node, atoms in enumerate(members)]
    kinds, charges, hydrogens = np.array(seen, np.int64).reshape(-1, 3).T
    return TaughtGraph(
        np.array([anchors.get(node, atoms[0]) for node, atoms in enumerate(members)], np.int64),
        kinds,
        charges,
        hydrogens,
        np.array(edges, np.int64).reshape(-1, 2),
        np.array(edge_kinds, np.int64),
    )


def _seen(labels: np.ndarray, atoms: list[int], anchor: int) -> tuple[int, int, int]:
    """What is written where these atoms of a drawing lie: a kind, a charge as an index of CHARGES, and hydrogens."""
    described = [_described(labels[atom], atom == anchor) for atom in atoms]
    if len(atoms) == 1:
        symbol, _, charge, _ = described[0]
        hydrogens = _num_hydrogens(labels[anchor]) if symbol in WITH_HYDROGENS else UNKNOWN
        return (WRITTEN_KINDS.index(symbol) if symbol else UNKNOWN), CHARGES.index(charge), hydrogens
    num_hydrogens = sum(_num_hydrogens(labels[atom]) for atom in atoms)
    group = _groups().get((num_hydrogens, tuple(sorted(described))))
    return (WRITTEN_KINDS.index(group) if group else UNKNOWN), CHARGES.index(0), UNKNOWN


_Described = tuple[str, int, int, bool]  # symbol, neighbours, charge, whether the bond goes to it


def _described(labels: np.ndarray, is_anchor: bool) -> _Described:
    neighbours = next((count for count in range(1, 5) if labels[_AT[f"{count} neighbours"]]), 0)
    return _symbol_of(labels) or "", neighbours, int(labels[_AT["positive"]]) - int(labels[_AT["negative"]]), is_anchor


def _num_hydrogens(labels: np.ndarray) -> int:
    return next((count for count in range(1, 4) if labels[_AT[f"{count} hydrogens"]]), 0)


@cache
def _groups() -> dict[tuple[int, tuple[_Described, ...]], str]:
    """The SMILES of each group that is known, by the number of its hydrogens and its atoms.

    Where the hydrogens are does not count: an amide may be drawn as one, and its InChI says otherwise.
    """
    found = {}
    for smiles in GROUPS:
        atoms = [atom for atom in Chem.MolFromSmiles(f"*{smiles}").GetAtoms() if atom.GetAtomicNum()]
        described = [
            (
                atom.GetSymbol(),
                atom.GetDegree(),
                atom.GetFormalCharge(),
                any(other.GetAtomicNum() == 0 for other in atom.GetNeighbors()),
            )
            for atom in atoms
        ]
        if len(atoms) > 1:
            found[sum(atom.GetTotalNumHs() for atom in atoms), tuple(sorted(described))] = smiles
    return found


def _kind_of_bond(labels: np.ndarray) -> int:
    """What a bond of these labels (L,) looks like from its beginning, one of KINDS."""
    return next((kind for name, kind in KIND_OF.items() if labels[_AT[name]]), SINGLE)


def _symbol_of(labels: np.ndarray) -> str | None:
    """The element of an atom's labels (L,); None for one that has no label of its own."""
    if labels[_AT["explicit hydrogen"]]:
        return "H"
    return next((element for element in ELEMENTS if labels[_AT[element]]), None)


class _Targets(NamedTuple):
    """What the spots and pairs of a batch are to say; places in pixels of its images."""

    owners: Tensor  # (A,) int64, the image of each node
    positions_xy: Tensor  # (A, 2)
    kinds: Tensor  # (A,)
    charges: Tensor  # (A,)
    pair_owners: Tensor  # (E,)
    ends_xy: Tensor  # (E, 2, 2)
    pair_kinds: Tensor  # (E,)
    lengths_px: Tensor  # (E,), of a typical edge of the pair's image


def targets_of(graphs: list[TaughtGraph], positions_xy: np.ndarray, rng: np.random.Generator) -> _Targets:
    """The targets of drawings whose marks lie at positions_xy (B, M, 2): every edge, and pairs that are near it."""
    nodes, pairs = [], []
    for owner, graph in enumerate(graphs):
        places = positions_xy[owner, graph.atoms]
        nodes.append(np.column_stack((np.full(len(places), owner), places, graph.kinds, graph.charges)))
        distances = np.linalg.norm(places[:, None] - places[None], axis=2)
        if not len(graph.edges):
            continue
        typical = float(np.median(distances[tuple(graph.edges.T)]))
        kinds = np.full(distances.shape, NOTHING)
        kinds[tuple(graph.edges.T)] = graph.edge_kinds
        kinds[tuple(graph.edges[:, ::-1].T)] = np.array(TURNED_ROUND)[graph.edge_kinds]
        is_near = (distances > NEAR[0] * typical) & (distances < NEAR[1] * typical) | (kinds != NOTHING)
        chosen = np.argwhere(np.triu(is_near, 1))
        is_turned = rng.random(len(chosen)) < 0.5
        first, second = np.where(is_turned[:, None], chosen[:, ::-1], chosen).T
        owners, lengths = np.full(len(chosen), owner), np.full(len(chosen), typical)
        pairs.append(np.column_stack((owners, places[first], places[second], kinds[first, second], lengths)))
    of_nodes = torch.from_numpy(np.concatenate(nodes)).float()
    of_pairs = torch.from_numpy(np.concatenate([np.zeros((0, 7)), *pairs])).float()
    return _Targets(
        of_nodes[:, 0].long(),
        of_nodes[:, 1:3],
        of_nodes[:, 3].long(),
        of_nodes[:, 4].long(),
        of_pairs[:, 0].long(),
        of_pairs[:, 1:5].view(-1, 2, 2),
        of_pairs[:, 5].long(),
        of_pairs[:, 6],
    )


def _loss(reader: GraphReader, batch: Batch, targets: _Targets, weights: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch, and the fractions of kinds of nodes and of pairs that are told right; weights (N,)."""
    with autocast(torch.device("cpu"), "auto"):
        spots: Spots = reader(batch.images)
    height, width = spots.is_node.shape[1:]
    at = (targets.positions_xy + 0.5) / CELL_PX  # (A, 2), in cells
    column, row = at[:, 0].long().clamp(0, width - 1), at[:, 1].long().clamp(0, height - 1)
    where = targets.owners, row, column
    heat = _heat(spots.is_node.shape, targets.owners, at)
    found = spots.is_node.float().sigmoid().clamp(1e-4, 1 - 1e-4)
    is_node = heat == 1
    node_losses = torch.where(is_node, (1 - found) ** 2 * found.log(), (1 - heat) ** 4 * found**2 * (1 - found).log())
    node_loss = -node_losses.sum() / is_node.sum().clamp(min=1)
    is_known = targets.kinds != UNKNOWN
    kinds = spots.kinds.movedim(1, 3)[where].float()[is_known]
    kind_loss = nn.functional.cross_entropy(kinds, targets.kinds[is_known], weights, label_smoothing=0.02)
    charges = spots.charges.movedim(1, 3)[where].float()
    charge_loss = nn.functional.cross_entropy(charges, targets.charges, torch.tensor([1.0, 3.0, 3.0]))
    offsets = spots.offsets.movedim(1, 3)[where].float()
    offset_loss = (offsets - (at - torch.stack((column, row), dim=1) - 0.5)).abs().mean()
    spread = torch.where(torch.rand(len(targets.lengths_px)) < 0.9, *JITTER) * targets.lengths_px
    ends = targets.ends_xy + torch.randn_like(targets.ends_xy) * spread[:, None, None]
    with autocast(torch.device("cpu"), "auto"):
        edges = reader.join(spots.features, targets.pair_owners, ends, targets.lengths_px).float()
    of_edges = torch.tensor([WEIGHTS_OF_EDGES.get(name, 2.5) for name in KINDS])
    edge_loss = nn.functional.cross_entropy(edges, targets.pair_kinds, of_edges, label_smoothing=0.01)
    with torch.no_grad():
        right = {
            "nodes": float((kinds.argmax(dim=1) == targets.kinds[is_known]).float().mean()),
            "edges": float((edges.argmax(dim=1) == targets.pair_kinds).float().mean()),
        }
    return node_loss + kind_loss + 0.5 * charge_loss + 0.5 * offset_loss + 2 * edge_loss, right


def _heat(shape: torch.Size, owners: Tensor, at: Tensor) -> Tensor:
    """1 in the cells (B, h, w) of nodes at x, y in cells (A, 2), less beside them, 0 elsewhere."""
    height, width = shape[1:]
    heat = torch.zeros(shape).flatten()
    cell = at.long()
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            x, y = (cell[:, 0] + across).clamp(0, width - 1), (cell[:, 1] + down).clamp(0, height - 1)
            squared = (x + 0.5 - at[:, 0]) ** 2 + (y + 0.5 - at[:, 1]) ** 2
            beside = BESIDE * torch.exp(-squared / (2 * SPREAD_CELLS**2))
            heat.scatter_reduce_(0, (owners * height + y) * width + x, beside, reduce="amax")
    x, y = cell[:, 0].clamp(0, width - 1), cell[:, 1].clamp(0, height - 1)
    heat[(owners * height + y) * width + x] = 1
    return heat.view(shape)


def train_graph_reader(
    store: DrawingStore, vocabulary: Vocabulary, settings: Settings, num_steps: int, start: GraphReader | Captioner
) -> tuple[GraphReader, dict[str, float]]:
    """A graph reader, and the fractions of what it tells right in drawings kept back.

    It begins as `start`; of a captioner it takes the backbone.
    """
    rng = seeded(settings)
    reader = GraphReader()
    if isinstance(start, Captioner):
        reader.backbone.load_state_dict(start.encoder.backbone.state_dict())
    else:
        reader.load_state_dict(start.state_dict())
    kinds = [graph_of(store.drawing(index)).kinds for index in range(len(store))]
    weights, rates = class_weights(kinds), [BACKBONE_RATE * LEARNING_RATE, LEARNING_RATE]
    if isinstance(start, GraphReader):
        reader.add_to_kind_logits(weights.log())  # about as it was when it learned
    named = list(reader.named_parameters())
    groups = [
        [one for name, one in named if name.startswith("backbone.") == is_backbone] for is_backbone in (True, False)
    ]
    feed = worn_batches(store, drawing_sampling_weights(kinds, weights), vocabulary, settings)
    learn(reader, list(zip(groups, rates, strict=True)), 0.01, _losses(reader, store, feed, weights, rng), num_steps)
    reader.add_to_kind_logits(-weights.log())  # each kind counted so often in the loss
    reader.eval()
    return reader, _fractions_right(reader, store, vocabulary, settings, weights, rng)


def _losses(
    reader: GraphReader,
    store: DrawingStore,
    feed: Iterator[tuple[list[int], Batch]],
    weights: Tensor,
    rng: np.random.Generator,
) -> Iterator[Tensor]:
    for indices, batch in feed:
        assert batch.marks is not None
        graphs = [graph_of(store.drawing(index)) for index in indices]
        yield _loss(reader, batch, targets_of(graphs, batch.marks.positions_xy.numpy(), rng), weights)[0]


def class_weights(kinds: list[np.ndarray]) -> Tensor:
    """Weights (N,) of the kinds of nodes, 1 on average over the nodes of drawings."""
    known = np.concatenate(kinds)
    counts = 1 + np.bincount(known[known != UNKNOWN], minlength=len(WRITTEN_KINDS))
    frequencies = counts / counts.sum()
    weights = frequencies**-CLASS_WEIGHT_EXPONENT
    return torch.from_numpy(weights / (weights * frequencies).sum()).float()


def drawing_sampling_weights(kinds: list[np.ndarray], weights: Tensor) -> np.ndarray:
    """How often each drawing (N,) is sampled, relative to others: those with rare kinds more often."""
    return np.array([weights.numpy()[one[one != UNKNOWN]].max(initial=0) for one in kinds]).clip(*SAMPLING_WEIGHT_RANGE)


def worn_batches(
    store: DrawingStore, sampling_weights: np.ndarray, vocabulary: Vocabulary, settings: Settings
) -> Iterator[tuple[list[int], Batch]]:
    """Batches of worn drawings of like size with their indices, sampled by weight (N,), without those kept back."""
    lengths, (heights, widths) = store.lengths(), store.sides()
    rng = np.random.default_rng(settings.training.seed)
    indices = np.arange(num_kept_back(store), len(store))
    sampling_weights = sampling_weights[indices] / sampling_weights[indices].sum()
    while True:
        order = rng.choice(indices, len(indices), p=sampling_weights)
        for chosen in like_with_like(order, lengths, widths, heights, BATCH_SIZE, rng):
            yield chosen.tolist(), worn_drawings(store, chosen.tolist(), vocabulary, settings, rng)


def worn_drawings(
    store: DrawingStore, indices: list[int], vocabulary: Vocabulary, settings: Settings, rng: np.random.Generator
) -> Batch:
    """Drawings at the size that graphs are read at."""
    wear, seed = with_one_scale(settings.wear, rng), int(rng.integers(2**31))
    return worn_batch(store, indices, vocabulary, wear, settings.cleaning.larger, seed, torch.device("cpu"))


@torch.inference_mode()
def _fractions_right(
    reader: GraphReader,
    store: DrawingStore,
    vocabulary: Vocabulary,
    settings: Settings,
    weights: Tensor,
    rng: np.random.Generator,
) -> dict[str, float]:
    """The fractions of kinds of nodes and of pairs that are told right in the drawings that are kept back."""
    told: list[dict[str, float]] = []
    for index in range(num_kept_back(store)):
        batch = worn_drawings(store, [index], vocabulary, settings, rng)
        assert batch.marks is not None
        graphs = [graph_of(store.drawing(index))]
        told.append(_loss(reader, batch, targets_of(graphs, batch.marks.positions_xy.numpy(), rng), weights)[1])
    return {name: float(np.nanmean([one[name] for one in told])) for name in ("nodes", "edges")}
