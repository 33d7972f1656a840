"""Trains the edge reader on the bonds of stored drawings, each worn in its own way. Takes minutes on one core."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lib.images.edge_patches import edge_patches, open_edges
from lib.molecules.drawing_marks import LABELS
from lib.molecules.drawing_store import DrawingStore, StoredDrawing
from lib.molecules.drawing_wear import worn_batch
from lib.progress import show_progress
from lib.settings import Settings
from model.edge_kinds import DOUBLE, HASH, KINDS, NOTHING, SINGLE, TRIPLE, TURNED_ROUND, WEDGE
from model.edge_reader import EdgeReader
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
KIND_OF = {"wedge": WEDGE, "hash": HASH, "triple bond": TRIPLE, "double bond": DOUBLE}  # the first that a bond has


def train_edge_reader(
    store: DrawingStore, vocabulary: Vocabulary, settings: Settings, num_drawings: int, num_steps: int
) -> tuple[EdgeReader, dict[str, float]]:
    """An edge reader, and the fraction of each of KINDS that it tells right in other drawings; NaN if there are none.

    An eighth of the drawings is kept back.
    """
    order = np.random.default_rng(settings.training.seed).permutation(len(store))[:num_drawings].tolist()
    num_kept_back = max(1, len(order) // 8)
    held_out, learned = (
        _edges(store, part, vocabulary, settings) for part in (order[:num_kept_back], order[num_kept_back:])
    )
    torch.manual_seed(settings.training.seed)
    reader = EdgeReader()
    _learn(reader, *learned, num_steps)
    reader.eval()
    patches, kinds = held_out
    with torch.inference_mode():
        found = torch.cat([reader(as_input(part)).argmax(dim=1) for part in patches.split(1024)])
    is_right = (found == kinds).float()
    return reader, {name: float(is_right[kinds == kind].mean()) for kind, name in enumerate(KINDS)}


def publish_edge_reader(reader: EdgeReader, path: Path) -> None:
    """Write the weights in half precision."""
    with written_whole(path) as written:
        save_file({name: weight.half().contiguous() for name, weight in reader.state_dict().items()}, written)


def as_input(patches: Tensor) -> Tensor:
    """Patches as the network takes them (N, 1, 16, 32), of bytes (N, 16, 32), 255 = ink."""
    return patches.float()[:, None] / 255


def _learn(reader: EdgeReader, patches: Tensor, kinds: Tensor, num_steps: int) -> None:
    weights = torch.bincount(kinds, minlength=len(KINDS)).float()[kinds] ** -RARENESS
    turned_round = torch.tensor(TURNED_ROUND)
    optimizer = torch.optim.AdamW(reader.parameters(), LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=num_steps)
    with show_progress("learn", num_steps, "steps") as line:
        for step in range(num_steps):
            # Weighed among some, as weighing among all takes longer than the step.
            some = torch.randint(len(kinds), (4 * BATCH_SIZE,))
            chosen = some[torch.multinomial(weights[some], BATCH_SIZE)]
            inputs, targets = as_input(patches[chosen]), kinds[chosen]
            if torch.rand(()) < 0.5:
                inputs = inputs.flip(2)
            is_turned = torch.rand(BATCH_SIZE) < 0.5
            inputs = torch.where(is_turned[:, None, None, None], inputs.flip(3), inputs)
            targets = torch.where(is_turned, turned_round[targets], targets)
            loss = nn.functional.cross_entropy(reader(inputs), targets, label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            line.update(step + 1)


def _edges(
    store: DrawingStore, indices: Sequence[int], vocabulary: Vocabulary, settings: Settings
) -> tuple[Tensor, Tensor]:
    """What lies between pairs of atoms: patches (N, 16, 32) in bytes, 255 = ink, and their kinds (N,)."""
    patches, kinds = [], []
    for start in range(0, len(indices), DRAWINGS_AT_ONCE):
        some = indices[start : start + DRAWINGS_AT_ONCE]
        rng = np.random.default_rng([settings.training.seed, start, len(indices)])
        seed = int(rng.integers(2**31))
        batch = worn_batch(store, some, vocabulary, settings.wear, settings.cleaning, seed, torch.device("cpu"))
        assert batch.marks is not None
        for ink, positions_xy, index in zip(batch.images[:, 0], batch.marks.positions_xy, some, strict=True):
            ends, kinds_here = _pairs(store.drawing(index), positions_xy.numpy(), rng)
            cut = edge_patches(ink.float().numpy(), ends)
            patches.append(np.rint(cut * 255).astype(np.uint8))
            kinds.append(kinds_here)
    return torch.from_numpy(np.concatenate(patches)), torch.from_numpy(np.concatenate(kinds))


def _pairs(drawing: StoredDrawing, positions_xy: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ends (N, 2, 2) of some bonds and of some pairs without one, not quite where they are, and their kinds (N,)."""
    num_atoms = len(drawing.labels) - len(drawing.bonds)
    atoms = positions_xy[:num_atoms]
    lengths = np.linalg.norm(atoms[drawing.bonds[:, 0]] - atoms[drawing.bonds[:, 1]], axis=1)
    if not len(lengths):
        return np.zeros((0, 2, 2), np.float32), np.zeros(0, np.int64)
    typical = float(np.median(lengths))
    pairs: list[tuple[int, int, int]] = []
    for (first, second), labels, length in zip(
        drawing.bonds.tolist(), drawing.labels[num_atoms:], lengths.tolist(), strict=True
    ):
        kind = next((kind for name, kind in KIND_OF.items() if labels[LABELS.index(name)]), SINGLE)
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
