"""Batches of worn drawings for training, epoch after epoch: which drawings, in what order, made where."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from lib.molecules.drawing_store import DrawingStore
from lib.molecules.drawing_wear import LaidOut, lay_out, wear_out, worn_batch
from lib.sections.molecules import WearSettings
from lib.settings import Settings
from model.batches import Batch, weight_of
from model.training_loop import TrainingState
from model.vocabulary import Vocabulary
from model.workers import Worker

NUM_VALIDATION = 512  # the first drawings of the store are not trained on: so many, or a tenth of a small store
DRAWINGS_IN_BUFFER = 32768  # sorted by size at a time
BATCHES_AHEAD = 4  # of each helper
ALONE = Worker()
SCALES_OF_BATCH = (0.98, 1.02)  # times the scale of a batch


class DrawingFeed:
    """One worker's part of batches of worn drawings, epoch after epoch.

    Helpers, processes of their own, lay drawings out ahead of time; without any, it is done when a batch is asked for.
    """

    def __init__(
        self,
        store: DrawingStore,
        vocabulary: Vocabulary,
        settings: Settings,
        state: TrainingState,
        device: torch.device,
        worker: Worker = ALONE,
        num_helpers: int = 0,
        seen_before: int = 0,
    ) -> None:
        """A network that has learned before, from `seen_before` drawings, sees other wear in another order."""
        self._settings, self._device = settings, device
        # Not forked: threads do not survive a fork.
        ahead: dict[str, Any] = {
            "num_workers": num_helpers,
            "prefetch_factor": BATCHES_AHEAD,
            "persistent_workers": True,
            "multiprocessing_context": "spawn",
        }
        self._loader: DataLoader[_Laid] = DataLoader(
            _DrawingsLaidOut(store, vocabulary),
            sampler=_Plan(store, settings, state, worker, seen_before),
            batch_size=None,
            **(ahead if num_helpers else {}),
        )

    def batches(self) -> Iterator[Batch]:
        """What is left of the epoch that the state says."""
        for laid_out, part in self._loader:
            batch = wear_out(laid_out, part.wear, self._settings.cleaning, part.seed, self._device)
            yield replace(batch, weight=part.weight)


class _Part(NamedTuple):
    """What one worker does with one batch."""

    indices: list[int]  # of its drawings
    wear: WearSettings
    seed: int
    weight: float


_Laid = tuple[LaidOut, _Part]


class _DrawingsLaidOut(Dataset[_Laid]):
    """Parts of batches to drawings that lie side by side."""

    def __init__(self, store: DrawingStore, vocabulary: Vocabulary) -> None:
        self.store, self.vocabulary = store, vocabulary

    def __getitem__(self, part: _Part) -> _Laid:
        return lay_out(self.store, part.indices, self.vocabulary, part.wear, part.seed), part


class _Plan(Sampler[_Part]):
    """One worker's parts of what is left of an epoch: drawings of like size, step by step."""

    def __init__(
        self, store: DrawingStore, settings: Settings, state: TrainingState, worker: Worker, seen_before: int
    ) -> None:
        self.settings, self.state, self.worker = settings, state, worker
        self.seed = (settings.training.seed, seen_before)
        self.first, self.end = num_kept_back(store), len(store)
        self.lengths, (self.heights, self.widths) = store.lengths(), store.sides()

    def __iter__(self) -> Iterator[_Part]:
        training, epoch, first_step = self.settings.training, self.state.epoch, self.state.step_in_epoch
        rng = np.random.default_rng([*self.seed, epoch])
        order = rng.permutation(np.arange(self.first, self.end))
        step, in_buffer = 0, max(1, DRAWINGS_IN_BUFFER // training.batch_size) * training.batch_size
        for start in range(0, len(order), in_buffer):
            chunk = order[start : start + in_buffer]
            for drawings in like_with_like(chunk, self.lengths, self.widths, self.heights, training.batch_size, rng):
                wear = with_one_scale(self.settings.wear, rng)
                if step >= first_step:
                    mine = self.worker.part_of(drawings)
                    seed = hash((*self.seed, epoch, step, self.worker.rank)) % 2**31
                    weight = weight_of(mine, drawings, self.lengths + 1, self.worker.num_workers)
                    yield _Part(mine.tolist(), wear, seed, weight)
                step += 1


def like_with_like(
    chunk: np.ndarray, lengths: np.ndarray, widths: np.ndarray, heights: np.ndarray, size: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Cut a chunk into batches of `size` drawings of similar length of caption, width and height, in random order.

    A batch is padded to its longest caption and largest image. This way a third of what is computed is padding, where
    it was two thirds.
    """
    batches: list[np.ndarray] = []
    for by_length in _split(chunk, lengths, 32 * size):
        for by_width in _split(by_length, widths, 4 * size):
            by_height = by_width[np.argsort(heights[by_width], kind="stable")]
            batches += [by_height[at : at + size] for at in range(0, len(by_height) - size + 1, size)]
    for index in rng.permutation(len(batches)):
        yield batches[index][rng.permutation(size)]


def _split(chunk: np.ndarray, key: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut a chunk, sorted by a key, into equal parts of about that size."""
    return np.array_split(chunk[np.argsort(key[chunk], kind="stable")], max(1, len(chunk) // size))


def with_one_scale(wear: WearSettings, rng: np.random.Generator) -> WearSettings:
    """Narrow the scale down to about one of its range: drawings of like size stay so, in every worker's part."""
    scale = rng.uniform(*wear.scale)
    return wear.model_copy(update={"scale": tuple(scale * part for part in SCALES_OF_BATCH)})


def validation_batches(
    store: DrawingStore, vocabulary: Vocabulary, settings: Settings, device: torch.device
) -> list[Batch]:
    """The drawings that are not trained on, each a batch, so that none is padded."""
    return [
        worn_batch(store, [index], vocabulary, settings.wear, settings.cleaning, index, device)
        for index in range(num_kept_back(store))
    ]


def num_kept_back(store: DrawingStore) -> int:
    """How many drawings, the first of the store, are not trained on."""
    return min(NUM_VALIDATION, len(store) // 10)
