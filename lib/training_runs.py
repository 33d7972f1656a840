"""A training run: the model it will make, named by what makes it, and the files it leaves on the way there."""

import hashlib
import json
import logging
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lib.caption_prediction import CURRENT_MODEL
from lib.delta_tables import Lake, checkpoints_folder
from lib.errors import SettingsError
from lib.fingerprints import fingerprint
from lib.schemas import TRAINING_METRICS
from lib.settings import Settings
from lib.training_data import TrainingData, describe_training_data
from model.checkpoint import CheckpointError, load_captioner

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRun:
    """What is to be trained and where its files lie."""

    model_version: str
    data: TrainingData
    checkpoint: Path  # the finished model
    folder: Path  # what is needed to resume; gone when the model is finished

    @property
    def resume_checkpoint(self) -> Path:
        return self.folder / "latest"

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def is_trained(self) -> bool:
        return (self.checkpoint / "config.json").is_file()


def plan_training(lake: Lake, settings: Settings) -> TrainingRun:
    """Name the model that these settings, data and starting weights make. Reads no image bytes, starts no cluster.

    Raises SettingsError if the starting weights are of another network or vocabulary.
    """
    data = describe_training_data(lake, settings.captions)
    start = _check_start(settings, data)
    version = settings.dataset + "-" + fingerprint(
        settings.captioner, settings.training, settings.captions, settings.cluster.num_workers,
        data.fingerprint, data.vocabulary.tokens, start,
    )
    root = Path(settings.storage.root).absolute()
    checkpoint = checkpoints_folder(settings.storage).absolute() / version
    return TrainingRun(version, data, checkpoint, root / "training" / version)


def finish_training(lake: Lake, run: TrainingRun) -> None:
    """Move the run's metrics into their table, make the model current and remove what only resuming needed.

    May be repeated: a run that was killed in here is finished by the next one.
    """
    if run.metrics_file.is_file():
        rows = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
        for row in rows:
            row["reported_at"] = datetime.fromisoformat(row["reported_at"])
        # A resumed run repeats the steps since its checkpoint: the last report of a step counts.
        latest = {(row["epoch"], row["step"]): row for row in rows}
        frame = lake.spark.createDataFrame(list(latest.values()), TRAINING_METRICS.schema)
        lake.insert_new("training_metrics", frame)
    if run.folder.is_dir() or not (run.checkpoint.parent / CURRENT_MODEL).is_file():
        _write_pointer(run)
    shutil.rmtree(run.folder, ignore_errors=True)


def _write_pointer(run: TrainingRun) -> None:
    written = run.checkpoint.parent / f".{CURRENT_MODEL}.written"
    written.write_text(run.model_version + "\n")
    os.replace(written, run.checkpoint.parent / CURRENT_MODEL)


def _check_start(settings: Settings, data: TrainingData) -> str | None:
    """A name for the starting weights, after checking that they fit."""
    directory = settings.training.start_from
    if directory is None:
        return None
    try:
        captioner, vocabulary, _ = load_captioner(directory)
    except CheckpointError as error:
        raise SettingsError(f"training.start_from: {error}") from None
    if captioner.config != settings.captioner:
        raise SettingsError(f"training.start_from {directory} holds another network than captioner asks for")
    if vocabulary != data.vocabulary:
        raise SettingsError(f"training.start_from {directory} has another vocabulary than the vocabulary table")
    return hashlib.sha256((Path(directory) / "weights.safetensors").read_bytes()).hexdigest()
