"""Partitions of images_clean to training workers: RayDP's hand-over, and the loop of model/ in each worker."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.data
import ray.train
import ray.train.torch
import torch
from raydp.spark.dataset import release_spark_recoverable

from lib.delta_tables import Lake
from lib.drawing_marks import mark_labels, mark_places
from lib.errors import NotationError, TrainingFailedError
from lib.horovod_training import train_on_horovod
from lib.image_cleaning import decode_png
from lib.molecule_drawing import Layout
from lib.progress import ProgressLine, show_progress
from lib.ray_cluster import ClusterSettings
from lib.settings import Settings
from lib.training_data import LAYOUT_COLUMNS, training_rows
from lib.training_runs import TrainingRun, absolute, read_metrics, starting_checkpoint
from lib.worker_group import RayTrainGroup, WorkerGroup
from model.batches import Batch, collate, iterate_in_length_buckets
from model.captioner import Captioner, CaptionerConfig
from model.checkpoint import captioner_to_train, has_checkpoint, load_details, load_training_state, save_checkpoint
from model.training_loop import (
    StepReport,
    TrainingConfig,
    TrainingState,
    make_optimizer,
    pack_training,
    train_epoch,
    unpack_training,
    validate,
)
from model.vocabulary import Vocabulary
from model.workers import over_all_workers

logger = logging.getLogger(__name__)

ROWS_PER_PARTITION = 2_000  # of the hand-over: small enough to stream, large enough not to cost a task for nothing


def train_on_ray(lake: Lake, run: TrainingRun, settings: Settings) -> None:
    """Train the run's model on the Ray cluster that is up, resuming it if it was begun.

    `lake` is seen through the Spark that hands over: RayDP's, or Databricks' own. Raises TrainingFailedError with the
    first worker's fault.
    """
    num_workers = settings.cluster.num_workers
    frames = {"train": _rows(lake, run, settings, "train", run.data.num_train)}
    if run.data.num_validation >= num_workers:
        frames["validation"] = _rows(lake, run, settings, "validation", run.data.num_validation)
    run.folder.mkdir(parents=True, exist_ok=True)
    ray.data.DataContext.get_current().enable_progress_bars = False
    config = _worker_config(run, settings)
    datasets = {split: ray.data.from_spark(frame) for split, frame in frames.items()}
    total = run.data.num_train * settings.training.num_epochs
    try:
        with show_progress("train_captioner", total) as line, _follow(run, settings, line):
            _run_workers(config, datasets, run, settings.cluster)
    except Exception as error:  # Ray wraps a worker's fault in types of its own
        raise TrainingFailedError(f"model {run.model_version}: {_first_fault(error)}") from error
    finally:
        for frame in frames.values() if settings.cluster.ray_on == "raydp" else ():
            release_spark_recoverable(frame)


def _run_workers(config: dict[str, Any], datasets: dict[str, Any], run: TrainingRun, cluster: ClusterSettings) -> None:
    """Run train_worker on every worker, whose group is Ray Train's or Horovod's, until all are done."""
    num_cores = cluster.cores_per_worker
    if cluster.train_with == "horovod":
        train_on_horovod(train_worker, config, datasets, cluster.num_workers, num_cores)
        return
    # Spread: workers that share a machine share its memory's speed too, which is what they wait for.
    scaling = ray.train.ScalingConfig(
        num_workers=cluster.num_workers, resources_per_worker={"CPU": num_cores}, placement_strategy="SPREAD"
    )
    ray.train.torch.TorchTrainer(
        _train_on_ray_train, train_loop_config=config, datasets=datasets, scaling_config=scaling,
        run_config=ray.train.RunConfig(name="ray", storage_path=str(run.folder)),
    ).fit()


def _train_on_ray_train(config: dict[str, Any]) -> None:
    train_worker(config, RayTrainGroup())


def train_worker(config: dict[str, Any], group: WorkerGroup) -> None:
    """What each worker runs: what starts and connects workers is behind `group`, the rest is model/."""
    torch.set_num_threads(config["threads"])
    training, vocabulary = TrainingConfig(**config["training"]), Vocabulary(tuple(config["vocabulary"]))
    torch.manual_seed(training.seed)
    resume_from = config["resume_checkpoint"]
    captioner = captioner_to_train(
        resume_from, training.start_from, CaptionerConfig(**config["captioner"]), vocabulary
    )
    model = group.share(captioner)
    optimizer = make_optimizer(model, training)
    packed = load_training_state(resume_from) if has_checkpoint(resume_from) else None
    state = unpack_training(packed, optimizer) if packed else TrainingState()

    reporter = _Reporter(config, captioner, vocabulary, optimizer, state) if group.rank == 0 else None
    while state.epoch < training.num_epochs and not state.is_out_of_time:
        batches = _batches(group.rows("train"), config, training, seed=training.seed + state.epoch)
        on_step = reporter.on_step if reporter else _ignore
        train_epoch(model, batches, optimizer, training, state, config["total_steps"], on_step)
        scores = _validate_together(model, group, config, training) if config["has_validation"] else {}
        if reporter:
            reporter.on_epoch(scores)
    if reporter:
        reporter.on_end()


def _rows(lake: Lake, run: TrainingRun, settings: Settings, split: str, num_rows: int):  # type: ignore[no-untyped-def]
    num_partitions = max(2 * settings.cluster.num_workers, num_rows // ROWS_PER_PARTITION)
    return training_rows(lake, settings.captions, run.data.vocabulary, split, num_partitions)


def _worker_config(run: TrainingRun, settings: Settings) -> dict[str, Any]:
    images_per_step = settings.training.batch_size * settings.cluster.num_workers
    training, captioner = asdict(settings.training), asdict(settings.captioner)
    # Workers run in a folder of Ray's.
    start = starting_checkpoint(settings)
    training["start_from"] = str(start) if start else None
    captioner["encoder_weights"] = absolute(captioner["encoder_weights"])
    return {
        "threads": settings.cluster.threads_per_worker,
        "captioner": captioner,
        "training": training,
        "vocabulary": list(run.data.vocabulary.tokens),
        "total_steps": settings.training.num_epochs * -(-run.data.num_train // images_per_step),
        "has_validation": run.data.num_validation >= settings.cluster.num_workers,
        "checkpoint": str(run.checkpoint),
        "resume_checkpoint": str(run.resume_checkpoint),
        "metrics_file": str(run.metrics_file),
        "details": {"notation": settings.captions.notation, "max_tokens": _max_tokens(run, start)},
        "provenance": {
            "model_version": run.model_version,
            "data_fingerprint": run.data.fingerprint,
            "num_train_images": run.data.num_train,
            "num_workers": settings.cluster.num_workers,
            "settings": settings.model_dump(mode="json", include={"cleaning", "captions", "captioner", "training"}),
        },
    }


def _max_tokens(run: TrainingRun, start: Path | None) -> int:
    """How long captions may become, <end> included: as long as any that was learned, here or before."""
    learned_before = load_details(start)["max_tokens"] if start else 0
    return max(run.data.max_tokens + 1, learned_before)


def _batches(shard: Any, config: dict[str, Any], training: TrainingConfig, seed: int) -> Iterator[Batch]:
    """This worker's share of a split, decoded and batched as it streams in."""
    samples = (
        _sample({name: column[place] for name, column in rows.items()}, config["captioner"])
        for rows in shard.iter_batches(batch_size=training.batch_size, batch_format="numpy")
        for place in range(len(rows["image"]))
    )
    for chunk in iterate_in_length_buckets(samples, training.batch_size, training.num_batches_in_buffer, seed):
        yield collate(chunk, config["captioner"]["num_channels"])


def _sample(row: dict[str, Any], captioner: dict[str, Any]) -> dict[str, Any]:
    """A row of training_rows as model.batches.collate takes it, with marks where the layout is known."""
    sample = {"pixels": decode_png(row["image"]), "token_ids": row["token_ids"].tolist()}
    if captioner["num_cell_labels"] and row["atom_x"] is not None:
        layout = Layout(*(np.asarray(row[name]) for name in LAYOUT_COLUMNS))
        with suppress(NotationError):  # the layout is not this caption's: then the caption alone has to do
            sample["marks"] = {
                "places": mark_places(layout), "labels": mark_labels(row["caption"], layout),
                "marks_of_tokens": np.asarray(row["atoms"]),
            }
    return sample


def _validate_together(
    model: torch.nn.Module, group: WorkerGroup, config: dict[str, Any], training: TrainingConfig
) -> dict[str, float]:
    """Validation scores over all workers' shares."""
    own = validate(model, _batches(group.rows("validation"), config, training, seed=0), training.precision)
    count = own["num_tokens"]
    sums = torch.tensor([own["loss"] * count if count else 0.0, own["token_accuracy"] * count if count else 0.0, count])
    sums = over_all_workers(sums.to(next(model.parameters()).device), "sum")
    loss, accuracy, num_tokens = sums.tolist()
    return {"validation_loss": loss / num_tokens, "validation_token_accuracy": accuracy / num_tokens}


def _ignore(report: StepReport) -> None:
    """Workers other than the first report nothing."""


class _Reporter:
    """Writes metrics and checkpoints while training runs; the first worker has one."""

    def __init__(
        self, config: dict[str, Any], captioner: Captioner, vocabulary: Vocabulary, optimizer: torch.optim.Optimizer,
        state: TrainingState,
    ) -> None:
        self.config = config
        self.captioner = captioner
        self.vocabulary = vocabulary
        self.optimizer = optimizer
        self.state = state
        self.losses: list[float] = []
        self.last: StepReport | None = None

    def on_step(self, report: StepReport) -> None:
        """Count the step; at intervals write a line of metrics and a checkpoint to resume from."""
        self.losses.append(report.loss)
        self.last = report
        if report.step % self.config["training"]["log_interval_steps"] == 0:
            self._write_metrics(report.epoch, {})
        if report.step % self.config["training"]["checkpoint_interval_steps"] == 0:
            self._save(self.config["resume_checkpoint"], with_state=True)

    def on_epoch(self, scores: dict[str, float]) -> None:
        """Write the scores of an epoch that has ended."""
        self._write_metrics(self.state.epoch, scores)

    def on_end(self) -> None:
        """Write the finished model."""
        self._save(self.config["checkpoint"], with_state=False)

    def _save(self, directory: str, with_state: bool) -> None:
        progress = {"epochs": self.state.epoch, "steps": self.state.step, "train_seconds": self.state.seconds}
        save_checkpoint(
            directory, self.captioner, self.vocabulary, details=self.config["details"],
            provenance=self.config["provenance"] | progress,
            training_state=pack_training(self.state, self.optimizer) if with_state else None,
        )

    def _write_metrics(self, epoch: int, scores: dict[str, float]) -> None:
        num_workers = self.config["provenance"]["num_workers"]
        last = self.last
        line = {
            "run_id": self.config["provenance"]["model_version"],
            "epoch": epoch,
            "step": self.state.step,
            "train_loss": sum(self.losses) / len(self.losses) if self.losses else None,
            "validation_loss": scores.get("validation_loss"),
            "validation_token_accuracy": scores.get("validation_token_accuracy"),
            "learning_rate": last.learning_rate if last else None,
            "images_per_second": last.images_per_second * num_workers if last else None,
            "num_workers": num_workers,
            "reported_at": datetime.now(UTC).isoformat(),
        }
        with Path(self.config["metrics_file"]).open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.losses = []


@contextmanager
def _follow(run: TrainingRun, settings: Settings, line: ProgressLine) -> Iterator[None]:
    """Show the newest line of the run's metrics while the block runs."""
    stop = threading.Event()
    images_per_step = settings.training.batch_size * settings.cluster.num_workers

    def poll() -> None:
        while not stop.wait(1.0):
            if rows := read_metrics(run):
                row = rows[-1]
                loss = "" if row["train_loss"] is None else f", loss {row['train_loss']:.3f}"
                note = f"epoch {row['epoch']}/{settings.training.num_epochs}{loss}"
                line.update(min(row["step"] * images_per_step, line.total), note, row["images_per_second"] or 0.0)

    poller = threading.Thread(target=poll, daemon=True)
    poller.start()
    try:
        yield
    finally:
        stop.set()
        poller.join()


def _first_fault(error: BaseException) -> str:
    """The line of a worker's traceback that names what went wrong."""
    lines = [text.strip() for text in str(error).splitlines() if text.strip()]
    named = [text for text in lines if "Error" in text and not text.startswith(("File", "ray.", "Traceback"))]
    return (named or lines or [type(error).__name__])[-1]
