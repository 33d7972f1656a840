"""Training on stored drawings alone, without Spark: how the model in the box is made, on a CPU's cores or a GPU."""

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, Sampler

from lib.drawing_batches import begin_worker
from lib.drawing_marks import LABELS
from lib.drawing_store import NOTATION, DrawingStore, fill_store, token_counts
from lib.drawing_wear import LaidOut, WearSettings, lay_out, wear_out, worn_batch
from lib.errors import SettingsError
from lib.settings import Settings
from lib.training_runs import checked_vocabulary, starting_checkpoint
from model.batches import Batch, share_of, weight_of
from model.captioner import Captioner
from model.checkpoint import (
    captioner_to_train,
    has_checkpoint,
    load_captioner,
    load_details,
    load_training_state,
    save_checkpoint,
)
from model.decoding import greedy
from model.training_loop import (
    StepReport,
    TrainingState,
    make_optimizer,
    pack_training,
    train_epoch,
    unpack_training,
    validate,
)
from model.vocabulary import Vocabulary
from model.weight_averaging import WeightAverage

logger = logging.getLogger(__name__)

MIN_TOKEN_USES = 5
NUM_VALIDATION = 512  # the first drawings of the store are not trained on: so many, or a tenth of a small store
DRAWINGS_IN_BUFFER = 32768  # sorted by size at a time
MAX_HELPERS = 8  # processes that lay drawings out for a GPU
BATCHES_AHEAD = 4  # of each helper
SCALES_OF_BATCH = (0.98, 1.02)  # times the scale of a batch
MEET_WITHIN = timedelta(minutes=30)


def train_on_drawings(settings: Settings, folder: Path, num_workers: int) -> Path:
    """Draw what is missing of the store, train, and return the checkpoint; killed and called again, it goes on.

    Training ends when training.num_epochs or training.max_train_seconds are over. On a GPU one worker does it all.
    """
    folder = folder.absolute()  # a path in a URL begins at the root
    store_folder = folder / "drawings"
    check_labels(settings)
    num_workers = 1 if torch.cuda.is_available() else num_workers
    if settings.training.batch_size < num_workers:
        raise SettingsError(f"training.batch_size {settings.training.batch_size} is too few for {num_workers} workers")
    fill_store(store_folder, settings.drawing)
    vocabulary = _vocabulary(settings, folder)
    meeting = folder / f".meeting-{os.getpid()}"
    arguments = (num_workers, settings, folder, vocabulary, str(meeting))
    try:
        if torch.cuda.is_available():
            _train_worker(0, *arguments)  # in this process: a daemon could have no helpers
        else:
            spawn(_train_spawned, args=arguments, nprocs=num_workers, daemon=True)
    finally:
        meeting.unlink(missing_ok=True)
    shutil.rmtree(folder / "latest", ignore_errors=True)  # the next call begins anew
    return folder / "captioner"


def check_labels(settings: Settings) -> None:
    """Raise SettingsError if the network is not to be taught just what drawers know of drawings."""
    num_labels = settings.captioner.num_cell_labels
    if num_labels != len(LABELS):
        raise SettingsError(f"captioner.num_cell_labels is {num_labels}, drawings have {len(LABELS)} labels")


def publish(checkpoint: Path, directory: Path) -> None:
    """Write a checkpoint in half precision, as it comes with the project, beside the card that lies there."""
    captioner, vocabulary, provenance = load_captioner(checkpoint)
    details = load_details(checkpoint)
    card = directory / "README.md"
    text = card.read_text() if card.is_file() else None
    save_checkpoint(
        directory, captioner, vocabulary, details=details, provenance=provenance, is_half_precision=True
    )
    if text is not None:
        card.write_text(text)


def _vocabulary(settings: Settings, folder: Path) -> Vocabulary:
    """That of the weights to go on from, else every token of the store that is used often enough to be learned."""
    if has_checkpoint(folder / "latest"):
        return load_captioner(folder / "latest")[1]
    if start := starting_checkpoint(settings):
        return checked_vocabulary(start, settings.captioner, NOTATION, settings.cleaning)
    return vocabulary_of(DrawingStore(folder / "drawings"))


def vocabulary_of(store: DrawingStore) -> Vocabulary:
    """Every token of the store that is used often enough to be learned."""
    counts = Counter(token_counts(store))
    return Vocabulary.from_tokens(token for token, uses in counts.items() if uses >= MIN_TOKEN_USES)


def _train_spawned(rank: int, *arguments: Any) -> None:
    begin_worker()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    _train_worker(rank, *arguments)


def _train_worker(
    rank: int, num_workers: int, settings: Settings, folder: Path, vocabulary: Vocabulary, meeting: str
) -> None:
    torch.set_num_threads(settings.cluster.threads_per_worker)
    if num_workers > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=num_workers, timeout=MEET_WITHIN
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training = settings.training
    torch.manual_seed(training.seed)
    latest = folder / "latest"
    captioner = captioner_to_train(latest, starting_checkpoint(settings), settings.captioner, vocabulary).to(device)
    optimizer = make_optimizer(captioner, training)
    packed = load_training_state(latest) if has_checkpoint(latest) else None
    state = unpack_training(packed, optimizer) if packed else TrainingState()
    average = WeightAverage(captioner, training.average_decay) if rank == 0 and training.average_decay else None
    if average and packed and "average" in packed:
        average.unpack(packed["average"])
    model = DistributedDataParallel(captioner) if num_workers > 1 else captioner

    store = DrawingStore(folder / "drawings")
    num_steps = (len(store) - _num_validation(store)) // training.batch_size
    reporter = _Reporter(settings, folder, captioner, vocabulary, optimizer, state, store, num_workers, average)
    num_helpers = min(MAX_HELPERS, os.cpu_count() or 1) if device.type == "cuda" else 0
    feed = DrawingFeed(store, vocabulary, settings, state, device, rank, num_workers, num_helpers)
    on_step = reporter.on_step if rank == 0 else _ignore
    while state.epoch < training.num_epochs and not state.is_out_of_time:
        train_epoch(model, feed.batches(), optimizer, training, state, num_steps * training.num_epochs, on_step)
    if rank == 0:
        reporter.on_end()
    if num_workers > 1:
        torch.distributed.destroy_process_group()


class DrawingFeed:
    """One worker's share of batches of worn drawings, epoch after epoch.

    Helpers, processes of their own, lay drawings out ahead of time; without any, it is done when a batch is asked for.
    """

    def __init__(
        self, store: DrawingStore, vocabulary: Vocabulary, settings: Settings, state: TrainingState,
        device: torch.device, rank: int = 0, num_workers: int = 1, num_helpers: int = 0,
    ) -> None:
        self._settings, self._device = settings, device
        # Not forked: threads do not survive a fork.
        ahead: dict[str, Any] = {
            "num_workers": num_helpers, "prefetch_factor": BATCHES_AHEAD, "persistent_workers": True,
            "multiprocessing_context": "spawn",
        }
        self._loader: DataLoader[_Laid] = DataLoader(
            _DrawingsLaidOut(store, vocabulary), sampler=_Plan(store, settings, state, rank, num_workers),
            batch_size=None, collate_fn=_as_it_is, **(ahead if num_helpers else {}),
        )

    def batches(self) -> Iterator[Batch]:
        """What is left of the epoch that the state says."""
        for laid_out, share in self._loader:
            batch = wear_out(laid_out, share.wear, self._settings.cleaning, share.seed, self._device)
            yield replace(batch, weight=share.weight)


class _Share(NamedTuple):
    """What one worker does with one batch."""

    indices: list[int]  # of its drawings
    wear: WearSettings
    seed: int
    weight: float


_Laid = tuple[LaidOut, _Share]


class _DrawingsLaidOut(Dataset[_Laid]):
    """Shares of batches to drawings that lie side by side."""

    def __init__(self, store: DrawingStore, vocabulary: Vocabulary) -> None:
        self.store, self.vocabulary = store, vocabulary

    def __getitem__(self, share: _Share) -> _Laid:
        return lay_out(self.store, share.indices, self.vocabulary, share.wear, share.seed), share


class _Plan(Sampler[_Share]):
    """One worker's shares of what is left of an epoch: drawings of like size, step by step."""

    def __init__(
        self, store: DrawingStore, settings: Settings, state: TrainingState, rank: int, num_workers: int
    ) -> None:
        self.settings, self.state, self.rank, self.num_workers = settings, state, rank, num_workers
        self.num_kept_back, self.num_drawings = _num_validation(store), len(store)
        self.lengths, (self.heights, self.widths) = store.lengths(), store.sides()

    def __iter__(self) -> Iterator[_Share]:
        training, epoch, first_step = self.settings.training, self.state.epoch, self.state.step_in_epoch
        rng = np.random.default_rng([training.seed, epoch])
        order = self.num_kept_back + rng.permutation(self.num_drawings - self.num_kept_back)
        step, in_buffer = 0, max(1, DRAWINGS_IN_BUFFER // training.batch_size) * training.batch_size
        for start in range(0, len(order), in_buffer):
            chunk = order[start : start + in_buffer]
            for drawings in _like_with_like(chunk, self.lengths, self.widths, self.heights, training.batch_size, rng):
                wear = _with_one_scale(self.settings.wear, rng)
                if step >= first_step:
                    mine = share_of(drawings, self.rank, self.num_workers)
                    seed = hash((training.seed, epoch, step, self.rank)) % 2**31
                    weight = weight_of(mine, drawings, self.lengths, self.num_workers)
                    yield _Share(mine.tolist(), wear, seed, weight)
                step += 1


def _as_it_is(laid_out: Any) -> Any:
    return laid_out


def _like_with_like(
    chunk: np.ndarray, lengths: np.ndarray, widths: np.ndarray, heights: np.ndarray, size: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Cut a chunk into lists of `size` drawings of similar length of caption, width and height, in random order.

    A batch is as long, wide and high as the most of it: this way a third of what is computed is padding, not two.
    """
    lists = [
        level[at : at + size]
        for by_length in _split(chunk, lengths, 32 * size)
        for level in _split(by_length, widths, 4 * size)
        for ordered in [level[np.argsort(heights[level], kind="stable")]]
        for level, at in ((ordered, at) for at in range(0, len(ordered) - size + 1, size))
    ]
    for place in rng.permutation(len(lists)):
        yield lists[place][rng.permutation(size)]


def _split(chunk: np.ndarray, key: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut a chunk, sorted by a key, into equal parts of about that size."""
    return np.array_split(chunk[np.argsort(key[chunk], kind="stable")], max(1, len(chunk) // size))


def _with_one_scale(wear: WearSettings, rng: np.random.Generator) -> WearSettings:
    """Narrow the scale down to about one of its range: drawings of like size stay so, in every worker's share."""
    scale = rng.uniform(*wear.scale)
    return wear.model_copy(update={"scale": tuple(scale * part for part in SCALES_OF_BATCH)})


def validation_batches(
    store: DrawingStore, vocabulary: Vocabulary, settings: Settings, device: torch.device
) -> list[Batch]:
    """The drawings that are not trained on, each a batch, so that none is padded."""
    return [
        worn_batch(store, [index], vocabulary, settings.wear, settings.cleaning, index, device)
        for index in range(_num_validation(store))
    ]


def exact_share(captioner: Captioner, batches: Sequence[Batch], max_tokens: int) -> float:
    """The share of pictures, each a batch, whose caption is written greedily as it is."""
    captioner.eval()
    num_exact = sum(
        list(greedy(captioner, batch.images, max_tokens)[0].token_ids) == batch.tokens[0, 1:-1].tolist()
        for batch in batches
    )
    return num_exact / max(1, len(batches))


def _num_validation(store: DrawingStore) -> int:
    return min(NUM_VALIDATION, len(store) // 10)


def _ignore(report: StepReport) -> None:
    """Workers other than the first report nothing."""


class _Reporter:
    """Says how training goes, and writes checkpoints; used by the first worker."""

    def __init__(
        self, settings: Settings, folder: Path, captioner: Captioner, vocabulary: Vocabulary,
        optimizer: torch.optim.Optimizer, state: TrainingState, store: DrawingStore, num_workers: int,
        average: WeightAverage | None,
    ) -> None:
        self.settings, self.folder, self.captioner, self.vocabulary = settings, folder, captioner, vocabulary
        self.optimizer, self.state, self.store, self.num_workers = optimizer, state, store, num_workers
        self.average = average
        self.losses: list[float] = []

    def on_step(self, report: StepReport) -> None:
        training = self.settings.training
        if self.average:
            self.average.update(self.captioner, report.step)
        self.losses.append(report.loss)
        if report.step % training.log_interval_steps == 0:
            loss, self.losses = sum(self.losses) / len(self.losses), []
            logger.info(
                "epoch %d, step %d, %.0f s, loss %.4f, rate %.2e, %.1f images/s", report.epoch, report.step,
                self.state.seconds, loss, report.learning_rate, report.images_per_second * self.num_workers,
            )
        if report.step % training.checkpoint_interval_steps == 0:
            self._save(self.folder / "latest", with_state=True)

    def on_end(self) -> None:
        """Write the finished model: the average of the weights where there is one."""
        if self.average:
            self.captioner = self.average.captioner
        scores = self._validate()
        logger.info("validation: %s", json.dumps(scores))
        self._save(self.folder / "captioner", with_state=False, scores=scores)

    def _validate(self) -> dict[str, float]:
        device = next(self.captioner.parameters()).device
        batches = validation_batches(self.store, self.vocabulary, self.settings, device)
        scores = validate(self.captioner, batches, self.settings.training.precision)
        return scores | {"exact": exact_share(self.captioner, batches, self.settings.captions.max_tokens)}

    def _save(self, directory: Path, with_state: bool, **facts: Any) -> None:
        training = self.settings.training
        described = self.settings.model_dump(
            mode="json", include={"drawing", "wear", "cleaning", "captions", "captioner", "training"}
        )
        for section, name in (("drawing", "smiles_file"), ("training", "start_from")):
            if path := described[section][name]:
                described[section][name] = Path(path).name  # where it lay is nobody's business
        provenance = {
            "drawings_seen": self.state.step * training.batch_size,
            "train_seconds": round(self.state.seconds),
            "num_drawings": len(self.store), "num_workers": self.num_workers,
            "settings": described,
        }
        save_checkpoint(
            directory, self.captioner, self.vocabulary,
            details={"notation": NOTATION, "max_tokens": self.settings.captions.max_tokens},
            provenance=provenance | facts,
            training_state=self._state_to_resume() if with_state else None,
        )

    def _state_to_resume(self) -> dict[str, Any]:
        packed = pack_training(self.state, self.optimizer)
        return packed | {"average": self.average.pack()} if self.average else packed
