"""A training run: its model, named by data, settings and starting weights, and its files until it is finished."""

import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lib.captions.checkpoint_fit import checked_vocabulary
from lib.captions.vocabulary_tables import read_vocabulary
from lib.errors import ConcurrentWriteError, SettingsError
from lib.fingerprints import fingerprint
from lib.images.frozen_features import encoder_version
from lib.lake.delta_tables import Lake
from lib.lake.model_promotions import offer_trained
from lib.lake.models import checkpoints_folder, starting_checkpoint, withdrawal_of
from lib.lake.schemas import TRAINING_METRICS
from lib.settings import Settings
from lib.training.training_data import TrainingData, describe_training_data
from lib.training.word_vectors import word_vectors
from model.batches import step_sizes

logger = logging.getLogger(__name__)

LEARNED_FROM = ("captions", "image_layouts", "images_clean", "vocabulary")
LEARNED_FROM_IF_THERE = ("caption_reviews", "image_features")


@dataclass(frozen=True)
class TrainingRun:
    """What is to be trained and where its files lie."""

    model_version: str
    data: TrainingData
    checkpoint: Path  # the finished model
    folder: Path  # what is needed to resume; gone when the model is finished
    # (V, E) float32, starting vectors of tokens, rows of NaN for random ones; None = all are random
    word_vectors: np.ndarray | None = field(default=None, compare=False)
    table_versions: dict[str, int] = field(default_factory=dict, compare=False)  # of Delta, of what is learned from

    @property
    def resume_checkpoint(self) -> Path:
        return self.folder / "latest"

    @property
    def best_checkpoint(self) -> Path:
        return self.folder / "best"

    @property
    def progress_file(self) -> Path:
        return self.folder / "progress.json"

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def is_trained(self) -> bool:
        return (self.checkpoint / "config.json").is_file()


def plan_training(lake: Lake, settings: Settings) -> TrainingRun:
    """Name the model that these settings, data and starting weights make. Reads no image bytes, starts no cluster.

    Raises SettingsError if the starting weights are of another network or notation, or of other cleaning, or if a step
    is too small to be shared, or if training.embeddings cannot be read or does not fit.
    """
    start = starting_checkpoint(settings.training.start_from, settings.dataset)
    vocabulary = (
        read_vocabulary(lake, settings.captions)
        if start is None
        else checked_vocabulary(start, settings.captioner, settings.captions.notation, settings.cleaning)
    )
    table_versions = {name: lake.version(name) for name in (*LEARNED_FROM, *LEARNED_FROM_IF_THERE) if lake.has(name)}
    data = describe_training_data(lake, settings.captions, vocabulary, encoder_version(settings.captioner))
    if data.left_out:
        logger.warning("not trained on: %s", data.left_out)
    if data.num_unknown_tokens:
        logger.info(
            "%d of %d words (%.1f %%) of the train captions are not in the vocabulary",
            data.num_unknown_tokens,
            data.num_tokens,
            100 * data.num_unknown_tokens / data.num_tokens,
        )
    _check_steps(data.num_train, settings)
    # A file counts by its content, not by its path.
    start_name = _content_name(start / "weights.safetensors") if start else None
    captioner, training = settings.captioner, settings.training
    vectors: np.ndarray | None = None
    if training.embeddings:
        vectors = word_vectors(training.embeddings, data.vocabulary, captioner.embedding_width)
        training = dataclasses.replace(training, embeddings=hashlib.sha256(vectors.tobytes()).hexdigest())
    training = dataclasses.replace(training, start_from=start_name)
    if Path(captioner.encoder_weights).is_file():
        captioner = dataclasses.replace(captioner, encoder_weights=_content_name(Path(captioner.encoder_weights)))
    # A weight that weighs nothing is no part of the name, so that models from before there were weights keep theirs.
    left_out = None if settings.captions.weighs_reviews else {"review_weight"}
    captions = settings.captions.model_dump(mode="json", exclude=left_out)
    version = (
        settings.dataset + "-" + fingerprint(captioner, training, captions, data.fingerprint, data.vocabulary.tokens)
    )
    root = Path(settings.storage.root).absolute()
    checkpoint = checkpoints_folder(settings.storage).absolute() / version
    return TrainingRun(version, data, checkpoint, root / "training" / version, vectors, table_versions)


def _check_steps(num_train: int, settings: Settings) -> None:
    """Every worker must have an image in every step."""
    training, num_workers = settings.training, settings.cluster.num_workers
    fewest = min(step_sizes(num_train, training.batch_size, training.num_batches_in_buffer))
    if fewest < num_workers:
        raise SettingsError(
            f"with training.batch_size {training.batch_size} and {num_train} train images some steps have "
            f"{fewest} images, too few for {num_workers} workers (cluster.num_workers)"
        )


@contextmanager
def training_alone(run: TrainingRun) -> Iterator[None]:
    """Keep other processes from training this run's model while the block runs; a killed process keeps nobody out.

    What another has trained meanwhile is there when the block begins. Raises ConcurrentWriteError.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    folder = os.open(run.folder, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise ConcurrentWriteError(
            f"model {run.model_version} is being trained by another process: let it end, or end it, and start again"
        ) from None
    except OSError as error:  # a storage that knows no locks
        logger.info("the run's folder cannot be locked, so another process may train the same model: %s", error)
    try:
        yield
    finally:
        os.close(folder)


def finish_training(lake: Lake, run: TrainingRun, decided_by: Literal["training", "comparison"]) -> None:
    """Move the run's metrics into their table, offer the model for use and remove what only resuming needed.

    A model that was withdrawn is not offered: with the same data and settings every training finds it again.
    May be repeated: a run that was killed in here is finished by the next one.
    """
    if rows := read_metrics(run):
        for row in rows:
            row["reported_at"] = datetime.fromisoformat(row["reported_at"])
        # A resumed run repeats the steps since its checkpoint: the last report of a step counts.
        latest = {(row["epoch"], row["step"]): row for row in rows}
        columns = TRAINING_METRICS.schema.names
        reports = [tuple(row.get(column) for column in columns) for row in latest.values()]
        frame = lake.spark.createDataFrame(reports, TRAINING_METRICS.schema)
        lake.insert_new("training_metrics", frame)
    if (why := withdrawal_of(run.checkpoint)) is None:
        offer_trained(lake, run.model_version, decided_by)
    else:
        logger.warning(
            "model %s is not made current, since it was withdrawn (%s): change the data or the "
            "settings for another, or remove that file to use it after all",
            run.model_version,
            why,
        )
    shutil.rmtree(run.folder, ignore_errors=True)
    with suppress(OSError):  # other runs' folders may be there, or none at all
        run.folder.parent.rmdir()


def read_metrics(run: TrainingRun) -> list[dict[str, Any]]:
    """The rows that the run has reported so far; a line torn by a sudden end is left out."""
    rows = []
    for line in run.metrics_file.read_text().splitlines() if run.metrics_file.is_file() else []:
        with suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def absolute(path: str | None) -> str | None:
    """The path from the root if there is such a file or folder; anything else as it is."""
    return str(Path(path).absolute()) if path and Path(path).exists() else path


def _content_name(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
