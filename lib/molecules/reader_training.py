"""Trains the readers of edges and nodes on the bonds and atoms of stored drawings, each worn in its own way."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lib.images.trace_patches import edge_patches, node_patches, open_edges
from lib.molecules.drawing_marks import ELEMENTS, LABELS
from lib.molecules.drawing_store import DrawingStore, StoredDrawing
from lib.molecules.drawing_wear import worn_batch
from lib.progress import show_progress
from lib.settings import Settings
from model.patch_reader import PatchReader
from model.trace_kinds import (
    DOUBLE,
    HASH,
    KINDS,
    NODE_HEIGHT,
    NODE_KINDS,
    NODE_WIDTH,
    NOTHING,
    SINGLE,
    TRIPLE,
    TURNED_ROUND,
    WEDGE,
)
from model.vocabulary import Vocabulary
from model.whole_writes import written_whole

DRAWINGS_AT_ONCE = 32
LONG_ENOUGH = 0.4  # of the median bond: shorter ones lie inside of a group that is written as one
UNBOUND_PAIRS = 3  # pairs of atoms without a bond, of each drawing
UNBOUND_LENGTHS = (0.5, 2.0)  # of such pairs, over the median bond
OPEN_EDGES = 2  # of each drawing: from an atom to where one more bond of it would end
JITTER = (0.06, 0.12)  # standard deviations of the ends, over the median bond: of nine tenths, and of the others
KEPT = {SINGLE: 0.45, DOUBLE: 0.7}  # fractions of bonds of the commonest kinds
RARENESS = 0.6  # a kind is drawn as often as its count to the power of 1 - this
BATCH_SIZE, LEARNING_RATE, LABEL_SMOOTHING = 256, 3e-3, 0.02
KEPT_NODES = {"C": 0.12, "N": 0.4, "O": 0.35, "H": 0.7}  # fractions of the commonest nodes
NODE_SCALES = (0.88, 1.14)  # of a node's patch: the length of edges is not known exactly
ALONG_LABEL = 0.4  # of the median bond, to either side: tracing may find a group anywhere on its label
LABELLED_GROUPS = {"CFFF": "CF3", "CFFFO": "OCF3"}  # symbols of the atoms that one label stands for, sorted
KIND_OF = {"wedge": WEDGE, "hash": HASH, "triple bond": TRIPLE, "double bond": DOUBLE}  # the first that a bond has

Cut = Callable[
    [np.ndarray, StoredDrawing, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]
]  # ink (H, W), a drawing, its marks' positions there -> patches (N, h, w), kinds (N,)
Vary = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # inputs and targets -> the same, mirrored or turned


def train_edge_reader(
    store: DrawingStore, vocabulary: Vocabulary, settings: Settings, num_drawings: int, num_steps: int
) -> tuple[PatchReader, dict[str, float]]:
    """An edge reader, and the fraction of each of KINDS that it tells right in other drawings; NaN if there are none.

    An eighth of the drawings is kept back.
    """
    order = np.random.default_rng(settings.training.seed).permutation(len(store))[:num_drawings].tolist()
    return _trained(_pairs_of, KINDS, _turned, store, order, vocabulary, settings, num_steps)


def train_node_reader(
    store: DrawingStore, vocabulary: Vocabulary, settings: Settings, num_drawings: int, num_steps: int
) -> tuple[PatchReader, dict[str, float]]:
    """A node reader, and the fraction of each of NODE_KINDS that it tells right in other drawings.

    Drawings with rare kinds are taken often, since hardly any drawing has iodine or CF3.
    """
    order = _rich_in_rare_nodes(store, num_drawings, np.random.default_rng(settings.training.seed))
    return _trained(_points_of, NODE_KINDS, _as_they_are, store, order, vocabulary, settings, num_steps)


def _rich_in_rare_nodes(store: DrawingStore, num_drawings: int, rng: np.random.Generator) -> list[int]:
    """Indices of drawings by lot, the likelier the rarer the rarest kind of node that a drawing has.

    An index may come several times: each time the drawing is worn in another way.
    """
    kinds = [np.unique(nodes_of(store.drawing(index))[1]) for index in range(len(store))]
    counts = np.bincount(np.concatenate(kinds), minlength=len(NODE_KINDS))
    weights = np.array([1 / counts[one].min() if len(one) else 0.0 for one in kinds])
    chosen: list[int] = rng.choice(len(store), num_drawings, p=weights / weights.sum()).tolist()
    return chosen


def publish_reader(reader: nn.Module, path: Path) -> None:
    """Write the weights in half precision."""
    path.parent.mkdir(exist_ok=True)
    with written_whole(path) as written:
        weights = reader.state_dict().items()
        save_file(
            {name: (one.half() if one.is_floating_point() else one).contiguous() for name, one in weights}, written
        )


def as_input(patches: Tensor) -> Tensor:
    """Patches as the network takes them (N, 1, h, w), of bytes (N, h, w), 255 = ink."""
    return patches.float()[:, None] / 255


def _trained(
    cut: Cut,
    names: Sequence[str],
    vary: Vary,
    store: DrawingStore,
    order: Sequence[int],
    vocabulary: Vocabulary,
    settings: Settings,
    num_steps: int,
) -> tuple[PatchReader, dict[str, float]]:
    distinct = list(dict.fromkeys(order))  # one that comes several times is kept back, or learned, each time
    kept_back = set(distinct[: max(1, len(distinct) // 8)])
    held_out, learned = (
        _patches(cut, store, [index for index in order if (index in kept_back) == is_kept], vocabulary, settings)
        for is_kept in (True, False)
    )
    torch.manual_seed(settings.training.seed)
    reader = PatchReader(len(names))
    _learn(reader, *learned, vary, num_steps)
    reader.eval()
    patches, kinds = held_out
    with torch.inference_mode():
        found = torch.cat([reader(as_input(part)).argmax(dim=1) for part in patches.split(1024)])
    is_right = (found == kinds).float()
    return reader, {name: float(is_right[kinds == kind].mean()) for kind, name in enumerate(names)}


def _learn(reader: PatchReader, patches: Tensor, kinds: Tensor, vary: Vary, num_steps: int) -> None:
    weights = torch.bincount(kinds).float()[kinds] ** -RARENESS
    optimizer = torch.optim.AdamW(reader.parameters(), LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=num_steps)
    with show_progress("learn", num_steps, "steps") as line:
        for step in range(num_steps):
            # Weighed among some, as weighing among all takes longer than the step.
            some = torch.randint(len(kinds), (4 * BATCH_SIZE,))
            chosen = some[torch.multinomial(weights[some], BATCH_SIZE)]
            inputs, targets = vary(as_input(patches[chosen]), kinds[chosen])
            with torch.autocast("cpu", torch.bfloat16):  # three times as fast where the processor has it
                logits = reader(inputs)
            loss = nn.functional.cross_entropy(logits.float(), targets, label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            line.update(step + 1)


def _turned(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Edges mirrored, and turned round: half of them each."""
    if torch.rand(()) < 0.5:
        inputs = inputs.flip(2)
    is_turned = torch.rand(len(inputs)) < 0.5
    inputs = torch.where(is_turned[:, None, None, None], inputs.flip(3), inputs)
    return inputs, torch.where(is_turned, torch.tensor(TURNED_ROUND)[targets], targets)


def _as_they_are(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    return inputs, targets


def _patches(
    cut: Cut, store: DrawingStore, indices: Sequence[int], vocabulary: Vocabulary, settings: Settings
) -> tuple[Tensor, Tensor]:
    """Patches (N, h, w) of worn drawings in bytes, 255 = ink, and their kinds (N,)."""
    patches, kinds = [], []
    for start in range(0, len(indices), DRAWINGS_AT_ONCE):
        some = indices[start : start + DRAWINGS_AT_ONCE]
        rng = np.random.default_rng([settings.training.seed, start, len(indices)])
        seed = int(rng.integers(2**31))
        batch = worn_batch(store, some, vocabulary, settings.wear, settings.cleaning, seed, torch.device("cpu"))
        assert batch.marks is not None
        for ink, positions_xy, index in zip(batch.images[:, 0], batch.marks.positions_xy, some, strict=True):
            cut_here, kinds_here = cut(ink.float().numpy(), store.drawing(index), positions_xy.numpy(), rng)
            patches.append(np.rint(cut_here * 255).astype(np.uint8))
            kinds.append(kinds_here)
    return torch.from_numpy(np.concatenate(patches)), torch.from_numpy(np.concatenate(kinds))


def _pairs_of(
    ink: np.ndarray, drawing: StoredDrawing, positions_xy: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What lies between pairs of atoms: patches (N, 16, 32) and their kinds (N,)."""
    ends, kinds = _pairs(drawing, positions_xy, rng)
    return edge_patches(ink, ends), kinds


def _points_of(
    ink: np.ndarray, drawing: StoredDrawing, positions_xy: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What is written at atoms, cut not quite where they are: patches (N, 24, 48) and their kinds (N,)."""
    atoms, lengths = _atoms_and_lengths(drawing, positions_xy)
    if not len(lengths):
        return np.zeros((0, NODE_HEIGHT, NODE_WIDTH), np.float32), np.zeros(0, np.int64)
    typical = float(np.median(lengths))
    nodes, kinds = nodes_of(drawing)
    chosen = rng.random(len(nodes)) < np.array([KEPT_NODES.get(NODE_KINDS[kind], 1.0) for kind in kinds.tolist()])
    nodes, kinds = nodes[chosen], kinds[chosen]
    spread = np.where(rng.random(len(nodes)) < 0.9, *JITTER) * typical
    jittered = atoms[nodes] + rng.normal(0, 1, (len(nodes), 2)) * spread[:, None]
    is_group = np.isin(kinds, [NODE_KINDS.index(name) for name in LABELLED_GROUPS.values()])
    jittered[:, 0] += is_group * rng.uniform(-1, 1, len(nodes)) * ALONG_LABEL * typical
    length = typical * float(rng.uniform(*NODE_SCALES))
    return node_patches(ink, jittered.astype(np.float32), length), kinds


def nodes_of(drawing: StoredDrawing) -> tuple[np.ndarray, np.ndarray]:
    """The atoms (N,) of a drawing that stand for themselves or for their group, and their kinds (N,)."""
    num_atoms = len(drawing.labels) - len(drawing.bonds)
    places: dict[tuple[float, float], list[int]] = {}
    for index, (x, y) in enumerate(drawing.positions_xy[:num_atoms].tolist()):
        places.setdefault((x, y), []).append(index)
    bonded = set(drawing.bonds.ravel().tolist())
    nodes, kinds = [], []
    for at_one in places.values():
        first = next((index for index in at_one if index in bonded), None)  # the one that the group's bond goes to
        symbols = [symbol_of(drawing.labels[index]) for index in at_one]
        if first is None or None in symbols:
            continue
        name = LABELLED_GROUPS.get("".join(sorted(map(str, symbols))), symbol_of(drawing.labels[first]))
        nodes.append(first)
        kinds.append(NODE_KINDS.index(str(name)))
    return np.array(nodes, np.int64), np.array(kinds, np.int64)


def kind_of_bond(labels: np.ndarray) -> int:
    """What a bond of these labels (L,) looks like from its beginning, one of KINDS."""
    return next((kind for name, kind in KIND_OF.items() if labels[LABELS.index(name)]), SINGLE)


def symbol_of(labels: np.ndarray) -> str | None:
    """The element of an atom's labels (L,); None for one that has no label of its own."""
    if labels[LABELS.index("explicit hydrogen")]:
        return "H"
    return next((element for element in ELEMENTS if labels[LABELS.index(element)]), None)


def _pairs(drawing: StoredDrawing, positions_xy: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ends (N, 2, 2) of some bonds and of some pairs without one, not quite where they are, and their kinds (N,)."""
    atoms, lengths = _atoms_and_lengths(drawing, positions_xy)
    if not len(lengths):
        return np.zeros((0, 2, 2), np.float32), np.zeros(0, np.int64)
    num_atoms = len(atoms)
    typical = float(np.median(lengths))
    pairs: list[tuple[int, int, int]] = []
    for (first, second), labels, length in zip(
        drawing.bonds.tolist(), drawing.labels[num_atoms:], lengths.tolist(), strict=True
    ):
        kind = kind_of_bond(labels)
        if length < LONG_ENOUGH * typical or rng.random() >= KEPT.get(kind, 1.0):
            continue
        pairs.append((second, first, TURNED_ROUND[kind]) if rng.random() < 0.5 else (first, second, kind))
    bonds = {frozenset(pair) for pair in drawing.bonds.tolist()}
    for first in rng.integers(num_atoms, size=UNBOUND_PAIRS).tolist():
        away = np.linalg.norm(atoms - atoms[first], axis=1) / typical
        near = np.flatnonzero((away > UNBOUND_LENGTHS[0]) & (away < UNBOUND_LENGTHS[1])).tolist()
        unbound = [second for second in near if frozenset((first, second)) not in bonds]
        if unbound:
            pairs.append((first, unbound[rng.integers(len(unbound))], NOTHING))
    firsts, seconds, kinds = np.array(pairs, np.int64).reshape(-1, 3).T
    bonded = rng.choice(drawing.bonds.ravel(), OPEN_EDGES).tolist()
    ends = np.concatenate((np.stack((atoms[firsts], atoms[seconds]), axis=1), open_edges(atoms, drawing.bonds, bonded)))
    kinds = np.append(kinds, [NOTHING] * OPEN_EDGES)
    spread = np.where(rng.random(len(ends)) < 0.9, *JITTER) * typical
    jittered = ends + rng.normal(0, 1, ends.shape) * spread[:, None, None]
    return jittered.astype(np.float32), kinds


def _atoms_and_lengths(drawing: StoredDrawing, positions_xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (A, 2) of the atoms, and lengths (B,) of the bonds, in pixels."""
    atoms = positions_xy[: len(drawing.labels) - len(drawing.bonds)]
    return atoms, np.linalg.norm(atoms[drawing.bonds[:, 0]] - atoms[drawing.bonds[:, 1]], axis=1)
