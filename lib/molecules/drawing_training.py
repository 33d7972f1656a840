"""Training on stored drawings alone, without Spark: how the pretrained model is made, on a CPU's cores or a GPU."""

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from lib.captions.checkpoint_fit import checked_vocabulary
from lib.errors import SettingsError
from lib.images.frozen_features import encoder_version
from lib.lake.models import starting_checkpoint
from lib.molecules.drawing_batches import begin_worker
from lib.molecules.drawing_feed import DrawingFeed, num_kept_back, validation_batches
from lib.molecules.drawing_marks import LABELS
from lib.molecules.drawing_store import NOTATION, DrawingStore, all_tokens, fill_store
from lib.settings import Settings
from lib.training.step_reports import StepReporter
from model.batches import Batch
from model.captioner import Captioner, Explaining
from model.checkpoint import has_checkpoint, load_captioner, load_provenance
from model.decoding import greedy
from model.learner import Learner, begin_or_resume
from model.publishing import publish as write_published
from model.training_loop import StepReport, ignore_step, train_epoch, validate
from model.vocabulary import Vocabulary
from model.weight_averaging import WeightAverage
from model.workers import Worker

logger = logging.getLogger(__name__)

MIN_TOKEN_USES = 5
MAX_HELPERS = 8  # processes that lay drawings out for a GPU
MEET_WITHIN = timedelta(minutes=30)


def train_on_drawings(settings: Settings, folder: Path, num_workers: int) -> Path:
    """Draw what is missing of the store, train, and return the checkpoint; killed and called again, it goes on.

    Training ends when training.num_epochs or training.max_train_seconds are over. On a GPU one worker does it all.
    """
    folder = folder.absolute()  # a path in a URL begins at the root
    store_folder = folder / "drawings"
    check_what_is_taught(settings)
    num_workers = 1 if torch.cuda.is_available() else num_workers
    if settings.training.batch_size < num_workers:
        raise SettingsError(f"training.batch_size {settings.training.batch_size} is too few for {num_workers} workers")
    fill_store(store_folder, settings.drawing, settings.cleaning)
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


def check_what_is_taught(settings: Settings) -> None:
    """Raise SettingsError if stored drawings cannot teach what the settings ask for: another notation, other labels."""
    if settings.captions.notation != NOTATION:
        raise SettingsError(f"captions.notation is {settings.captions.notation}, drawings are kept in {NOTATION}")
    num_labels = settings.captioner.num_cell_labels
    if num_labels != len(LABELS):
        raise SettingsError(f"captioner.num_cell_labels is {num_labels}, drawings have {len(LABELS)} labels")


def publish(checkpoint: Path, directory: Path, folder: Path, settings: Settings) -> None:
    """Write a checkpoint of train_on_drawings in half precision, as it comes with the project, beside the card there.

    A model that is there already stays if it reads the drawings of `folder` that were kept back better. Raises
    SettingsError if the folder has so few that none was kept back: then nothing tells which is better.
    """
    if (directory / "weights.safetensors").is_file():
        store = DrawingStore(folder / "drawings")
        if not num_kept_back(store):
            raise SettingsError(
                f"{folder} has {len(store)} drawings, too few to compare the model with the one in {directory}: raise "
                "drawing.num_drawings, or name another folder"
            )
        logger.info("reading the drawings that were kept back with the model in %s, to compare", directory)
        there = scores_of(*load_captioner(directory)[:2], store, settings)
        ours = load_provenance(checkpoint)["scores"]
        if there["loss"] <= ours["loss"]:
            logger.warning(
                "%s is left as it is: loss %.4f, %.3f exact on the drawings kept back; the model in %s: %.4f, %.3f",
                directory,
                there["loss"],
                there["exact"],
                checkpoint,
                ours["loss"],
                ours["exact"],
            )
            return
    write_published(checkpoint, directory)


def _vocabulary(settings: Settings, folder: Path) -> Vocabulary:
    """Every token of the store that is used often enough to be learned, after those of the weights to go on from."""
    if has_checkpoint(folder / "latest"):
        return load_captioner(folder / "latest")[1]
    tokens = frequent_tokens(DrawingStore(folder / "drawings"))
    if start := starting_checkpoint(settings.training.start_from, settings.dataset):
        return checked_vocabulary(start, settings.captioner, NOTATION, settings.cleaning).extended(tokens)
    return Vocabulary.from_tokens(tokens)


def frequent_tokens(store: DrawingStore) -> list[str]:
    """Every token of the store that is used often enough to be learned."""
    return [token for token, uses in Counter(all_tokens(store)).items() if uses >= MIN_TOKEN_USES]


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
    latest, start = folder / "latest", starting_checkpoint(training.start_from, settings.dataset)
    learner = begin_or_resume(latest, start, settings.captioner, training, vocabulary, device)
    captioner, optimizer, state, _ = learner
    model = DistributedDataParallel(Explaining(captioner)) if num_workers > 1 else captioner

    store, seen_before = DrawingStore(folder / "drawings"), _seen_before(latest, start)
    num_steps = (len(store) - num_kept_back(store)) // training.batch_size
    reporter = _Reporter(settings, folder, learner, vocabulary, store, num_workers, seen_before) if rank == 0 else None
    num_helpers = min(MAX_HELPERS, os.cpu_count() or 1) if device.type == "cuda" else 0
    feed = DrawingFeed(store, vocabulary, settings, state, device, Worker(rank, num_workers), num_helpers, seen_before)
    on_step = reporter.on_step if reporter else ignore_step
    while state.epoch < training.num_epochs and not state.is_out_of_time:
        train_epoch(model, feed.batches(), optimizer, training, state, num_steps * training.num_epochs, on_step)
    if reporter:
        reporter.on_end()
    if num_workers > 1:
        # All is written. The destructors of what is local here have waited for gloo's threads for ever.
        logging.shutdown()
        os._exit(0)


def _seen_before(latest: Path, start: Path | None) -> int:
    """How many drawings the weights had learned from when this training began."""
    if has_checkpoint(latest):
        return int(load_provenance(latest).get("drawings_seen_before", 0))
    return int(load_provenance(start).get("drawings_seen", 0)) if start else 0


def scores_of(
    captioner: Captioner, vocabulary: Vocabulary, store: DrawingStore, settings: Settings
) -> dict[str, float]:
    """What `validate` says of the drawings of a store that are kept back, and the fraction read `exact`, greedily."""
    batches = validation_batches(store, vocabulary, settings, next(captioner.parameters()).device)
    scores = validate(captioner, batches, settings.training.precision)
    return scores | {"exact": exact_fraction(captioner, batches, settings.captions.max_tokens)}


def exact_fraction(captioner: Captioner, batches: Sequence[Batch], max_tokens: int) -> float:
    """The fraction of images, each a batch, whose caption is written greedily as it is."""
    captioner.eval()
    num_exact = sum(
        list(greedy(captioner, batch.images, max_tokens)[0].token_ids) == batch.tokens[0, 1:-1].tolist()
        for batch in batches
    )
    return num_exact / max(1, len(batches))


class _Reporter(StepReporter):
    """Says how training goes, averages the weights, and writes checkpoints; used by the first worker."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        learner: Learner,
        vocabulary: Vocabulary,
        store: DrawingStore,
        num_workers: int,
        seen_before: int,
    ) -> None:
        training, max_tokens = settings.training, settings.captions.max_tokens
        version = encoder_version(settings.captioner)
        details = {"notation": NOTATION, "max_tokens": max_tokens, "encoder_version": version}
        average = WeightAverage.begin_or_resume(learner.captioner, training.average_decay, learner.resumed)
        super().__init__(learner, vocabulary, training, folder / "latest", details, average)
        self.settings, self.folder, self.store = settings, folder, store
        self.num_workers, self.seen_before = num_workers, seen_before

    def on_step(self, step: StepReport) -> None:
        if self.average:
            self.average.update(self.captioner, step.step)
        super().on_step(step)

    def report(self, step: StepReport) -> None:
        logger.info(
            "epoch %d, step %d, %.0f s, loss %.4f, rate %.2e, %.1f images/s",
            step.epoch,
            step.step,
            self.state.seconds,
            self.mean_loss(),
            step.learning_rate,
            step.images_per_second * self.num_workers,
        )

    def on_end(self) -> None:
        """Write the finished model: the average of the weights where there is one."""
        scores = scores_of(self.learned, self.vocabulary, self.store, self.settings)
        logger.info("validation: %s", json.dumps(scores))
        self.save(self.folder / "captioner", scores=scores)

    def provenance(self) -> dict[str, Any]:
        described = self.settings.model_dump(
            mode="json", include={"drawing", "wear", "cleaning", "captions", "captioner", "training"}
        )
        for section, name in (("drawing", "smiles_file"), ("training", "start_from")):
            if path := described[section][name]:
                described[section][name] = Path(path).name  # where it lay is nobody's business
        return {
            "drawings_seen": self.seen_before + self.state.step * self.training.batch_size,
            "drawings_seen_before": self.seen_before,
            "train_seconds": round(self.state.seconds),
            "num_drawings": len(self.store),
            "num_workers": self.num_workers,
            "settings": described,
        }
