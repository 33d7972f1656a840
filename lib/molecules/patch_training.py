"""How readers of patches learn: from patches of worn drawings, sampled by what they show and varied.

N patches, h w their sides, H W those of a drawing, M marks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lib.molecules.drawing_feed import num_kept_back
from lib.molecules.drawing_store import DrawingStore
from lib.molecules.graph_training import (
    TaughtGraph,
    class_weights,
    drawing_sampling_weights,
    graph_of,
    worn_batches,
    worn_drawings,
)
from lib.settings import Settings
from model.batches import Batch, as_ink
from model.vocabulary import Vocabulary

BATCH_SIZE, LEARNING_RATE = 256, 3e-3
BUFFER_SIZE, MIN_BUFFERED = 30_000, 3_000  # patches to sample from; the fewest
NUM_NORM_BATCHES = 40  # by which the norms are measured
USES_PER_PATCH = 2  # on average: a drawing takes longer to wear than its patches to look at
SAMPLING_EXPONENT = 0.6  # a kind is sampled in proportion to the number of its patches to this power
THICK, BLURRED, SHARP, PALE = 0.12, 0.08, 0.06, 0.08  # fractions of batches

Cut = TypeVar("Cut", bound=tuple[NDArray[Any], ...])  # arrays (N, ...) of the same patches


class WornDrawing(NamedTuple):
    """A drawing from which patches are cut."""

    graph: TaughtGraph
    ink: NDArray[np.float32]  # (H, W), 1 = ink
    marks_xy: NDArray[np.float32]  # (M, 2)

    def pixels(self) -> NDArray[np.uint8]:
        """The drawing as an image (H, W), 0 = ink."""
        pixels: NDArray[np.uint8] = np.rint(255 * (1 - self.ink)).clip(0, 255).astype(np.uint8)
        return pixels


def drawings_to_learn(
    store: DrawingStore, graphs: Sequence[TaughtGraph], vocabulary: Vocabulary, settings: Settings
) -> Iterator[WornDrawing]:
    """Worn drawings without end, those with rare kinds of nodes more often."""
    kinds = [graph.kinds for graph in graphs]
    weights = drawing_sampling_weights(kinds, class_weights(kinds))
    for indices, batch in worn_batches(store, weights, vocabulary, settings):
        yield from _drawings_of([graphs[index] for index in indices], batch)


def drawings_kept_back(
    store: DrawingStore, vocabulary: Vocabulary, settings: Settings, rng: np.random.Generator
) -> Iterator[WornDrawing]:
    """The drawings that are not learned from, worn."""
    for index in range(num_kept_back(store)):
        batch = worn_drawings(store, [index], vocabulary, settings, rng)
        yield from _drawings_of([graph_of(store.drawing(index))], batch)


def _drawings_of(graphs: list[TaughtGraph], batch: Batch) -> Iterator[WornDrawing]:
    assert batch.marks is not None
    for graph, image, marks_xy in zip(graphs, batch.images, batch.marks.positions_xy, strict=True):
        yield WornDrawing(graph, image[0].float().numpy(), marks_xy.numpy())


@torch.inference_mode()
def fractions_right(
    names: Sequence[str], told_and_true: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]
) -> dict[str, float]:
    """The fraction of each kind that is told right, by its name; the kinds may be told while they are asked for."""
    told, true = (np.concatenate(part) for part in zip(*told_and_true, strict=True))
    return {names[kind]: float((told == true)[true == kind].mean()) for kind in np.unique(true).tolist()}


def as_input(pixels: NDArray[np.uint8]) -> Tensor:
    """Patches (N, h, w), 0 = ink, as a network takes them (N, 1, h, w)."""
    return as_ink(torch.from_numpy(pixels))[:, None]


def sampled_again(
    cuts: Iterator[Cut], sampled_as: Callable[[Cut], NDArray[np.int64]], factors: NDArray[np.float64]
) -> Iterator[Cut]:
    """Batches of patches, sampled again and again from the latest that were cut; those of rare kinds more often.

    `sampled_as` gives the kinds (N,) by which patches are sampled; `factors` (K,) multiply how often each kind is.
    """
    rng = np.random.default_rng(0)
    first = next(cuts)
    kept = tuple(np.zeros((BUFFER_SIZE, *part.shape[1:]), part.dtype) for part in first)
    make: Callable[[Any], Cut] = type(first)._make  # type: ignore[attr-defined]
    num_made = num_used = 0
    while True:
        while num_made < max(MIN_BUFFERED, (num_used + BATCH_SIZE) / USES_PER_PATCH):
            cut = next(cuts)
            at = (num_made + np.arange(len(cut[0]))) % BUFFER_SIZE
            for place, part in zip(kept, cut, strict=True):
                place[at] = part
            num_made += len(at)
        made = make(part[:num_made] for part in kept)
        kinds = sampled_as(made)
        bounds = patch_sampling_weights(kinds, factors).cumsum()
        chosen = np.searchsorted(bounds, rng.random(BATCH_SIZE) * bounds[-1]).clip(max=len(bounds) - 1)
        num_used += BATCH_SIZE
        yield make(part[chosen] for part in kept)


def patch_sampling_weights(kinds: NDArray[np.int64], factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often patches (N,) of these kinds are sampled, relative to each other, with a factor (K,) for each kind."""
    weights: NDArray[np.float64] = np.bincount(kinds).clip(1)[kinds] ** (SAMPLING_EXPONENT - 1) * factors[kinds]
    return weights


@torch.inference_mode()
def measure_norms(reader: nn.Module, read_a_batch: Callable[[], object]) -> None:
    """Measure means and variances of features anew: the average of many networks' is not that of their average."""
    for part in reader.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None  # all batches count the same
    reader.train()
    for _ in range(NUM_NORM_BATCHES):
        read_a_batch()


def varied(patches: Tensor) -> Tensor:
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
