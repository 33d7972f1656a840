"""Partitions of images_clean to training workers: RayDP's hand-over, and the loop of model/ in each worker."""

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from math import ceil
from pathlib import Path
from typing import Any

import ray
import ray.data
import torch
from pyspark.sql import DataFrame

from lib.captions.notations import Notation, notation_named
from lib.errors import TrainingFailedError
from lib.fingerprints import git_commit
from lib.images.frozen_features import encoder_version
from lib.lake.delta_tables import Lake
from lib.lake.models import starting_checkpoint
from lib.progress import show_progress
from lib.settings import Settings
from lib.training.horovod_training import run_on_horovod
from lib.training.ray_cluster import gpus_to_use
from lib.training.row_blocks import RowBlocks, hand_over, parts_of_epoch
from lib.training.training_data import mean_input_bytes, training_rows
from lib.training.training_reports import TrainingReporter, following
from lib.training.training_runs import TrainingRun, absolute
from lib.training.training_samples import as_sample
from lib.training.validation import ranking_of, validate_together
from lib.training.worker_group import WorkerGroup, run_on_ray_train
from model.augmentation import augmented
from model.batches import Batch, collate, step_sizes
from model.checkpoint import load_details
from model.config import CaptionerConfig, TrainingConfig
from model.learner import begin_or_resume
from model.self_critical import CiderScorer, self_critical
from model.training_loop import StepReport, TrainingState, spend, train_epoch
from model.vocabulary import END, Vocabulary
from model.weight_averaging import WeightAverage
from model.workers import Worker

logger = logging.getLogger(__name__)

# Of the hand-over: small enough to stream and for an executor's heap, large enough not to cost a task for nothing.
ROWS_PER_PARTITION = 2_000
BYTES_PER_PARTITION = 64 * 2**20
_SIGNS_OF_A_LOST_EXECUTOR = ("ExecutorLostFailure", "MetadataFetchFailedException", "OutOfMemoryError")


def train_on_ray(lake: Lake, run: TrainingRun, settings: Settings) -> None:
    """Train the run's model on the Ray cluster that is up, resuming it if it was begun.

    `lake` is seen through the Spark that hands over: RayDP's, or Databricks' own. Raises TrainingFailedError with the
    first worker's fault, SettingsError if there are fewer GPUs than asked for.
    """
    num_gpus = gpus_to_use(settings.cluster)
    row_bytes = mean_input_bytes(lake, encoder_version(settings.captioner))
    splits = ("train", "validation") if run.data.num_validation else ("train",)
    frames = {split: _rows(lake, run, settings, split, row_bytes) for split in splits}
    ray.data.DataContext.get_current().enable_progress_bars = False
    total = run.data.num_train * settings.training.num_epochs
    try:
        rows = {split: hand_over(frame) for split, frame in frames.items()}
        with show_progress("train_captioner", total) as line, following(run, settings.training, line):
            run_workers(rows, run, settings, num_gpus)
    except Exception as error:  # Ray wraps a worker's fault in types of its own
        raise TrainingFailedError(f"model {run.model_version}: {_first_fault(error)}") from error
    finally:
        if settings.cluster.ray_on == "raydp":
            from raydp.spark.dataset import release_spark_recoverable  # not there on Databricks

            for frame in frames.values():
                release_spark_recoverable(frame)


def run_workers(rows: dict[str, RowBlocks], run: TrainingRun, settings: Settings, num_gpus: int) -> None:
    """Run train_worker on every worker until all are done; `rows` by split, validation or none."""
    cluster = settings.cluster
    run.folder.mkdir(parents=True, exist_ok=True)
    config = worker_config(run, settings)
    config |= {"rows": {split: ray.put(blocks) for split, blocks in rows.items()}, "uses_gpus": num_gpus > 0}
    num_workers, num_cores = cluster.num_workers, cluster.cores_per_worker
    if cluster.train_with == "horovod":
        run_on_horovod(train_worker, config, num_workers, num_cores)
    else:
        run_on_ray_train(train_worker, config, num_workers, num_cores, str(run.folder), num_gpus >= num_workers)


def train_worker(config: dict[str, Any], group: WorkerGroup) -> None:
    """The function that each worker runs; `group` is the library that started it, the loop is in model/."""
    torch.set_num_threads(config["threads"])
    training, vocabulary = TrainingConfig(**config["training"]), Vocabulary(tuple(config["vocabulary"]))
    notation, max_tokens = notation_named(config["details"]["notation"]), config["details"]["max_tokens"]
    worker = Worker(group.rank, group.num_workers)
    rows: dict[str, RowBlocks] = {split: ray.get(ref) for split, ref in config["rows"].items()}
    device = _device(group.local_rank, config["uses_gpus"])
    learner = begin_or_resume(
        config["resume_checkpoint"],
        training.start_from,
        CaptionerConfig(**config["captioner"]),
        training,
        vocabulary,
        device,
        config["word_vectors"],
    )
    captioner, optimizer, state, resumed = learner
    # Every worker has the average, since all validate it; their weights are the same after each step.
    average = WeightAverage.begin_or_resume(captioner, training.average_decay, resumed)
    model = group.wrap(captioner)

    reporter = TrainingReporter(config, learner, vocabulary, average) if worker.rank == 0 else None

    def on_step(step: StepReport) -> None:
        if average:
            average.update(captioner, step.step)
        if reporter:
            reporter.on_step(step)

    scorer = _cider_scorer(rows["train"]) if config["are_sentences"] else None
    while not state.is_over(training):
        batches = batches_of_epoch(rows["train"], captioner.config, notation, training, state, worker)
        batches = augmented(batches, training)
        if training.objective == "cider":
            assert scorer is not None, "settings ask for a dataset of sentences"
            batches = self_critical(batches, captioner, scorer, training, max_tokens)
        train_epoch(model, batches, optimizer, training, state, config["total_steps"], on_step)
        started, scores, is_best = time.monotonic(), {}, False
        if "validation" in rows:
            scores = validate_together(
                average.network if average else captioner,
                rows["validation"],
                vocabulary,
                notation,
                max_tokens,
                training.precision,
                worker,
                scorer,
            )
            is_best = state.note_scores(*ranking_of(scores))
        spend(state.seconds + time.monotonic() - started, training, state, device)
        if reporter:
            reporter.on_epoch(scores, is_best)
    if reporter:
        reporter.on_end()


def _rows(lake: Lake, run: TrainingRun, settings: Settings, split: str, row_bytes: float) -> DataFrame:
    is_train = split == "train"
    most = None if is_train else settings.training.num_validation_images
    num_rows = run.data.num_train if is_train else min(run.data.num_validation, settings.training.num_validation_images)
    num_parts = num_partitions(num_rows, row_bytes, settings.cluster.num_workers)
    encoder = encoder_version(settings.captioner)
    return training_rows(lake, settings.captions, run.data.vocabulary, split, num_parts, most, encoder)


def num_partitions(num_rows: int, bytes_per_row: float, num_workers: int) -> int:
    """In how many partitions rows are handed over: two a worker at least, none above ROWS_ or BYTES_PER_PARTITION."""
    return max(
        2 * num_workers, ceil(num_rows / ROWS_PER_PARTITION), ceil(num_rows * bytes_per_row / BYTES_PER_PARTITION)
    )


def worker_config(run: TrainingRun, settings: Settings) -> dict[str, Any]:
    """The configuration of train_worker as plain values and arrays, without the rows."""
    training, captioner = asdict(settings.training), asdict(settings.captioner)
    # Workers run in a folder of Ray's.
    start = starting_checkpoint(settings.training.start_from, settings.dataset)
    training["start_from"] = str(start) if start else None
    captioner["encoder_weights"] = absolute(captioner["encoder_weights"])
    return {
        "threads": settings.cluster.threads_per_worker,
        "are_sentences": settings.evaluation.scores_sentences,
        "captioner": captioner,
        "training": training,
        "vocabulary": list(run.data.vocabulary.tokens),
        "word_vectors": run.word_vectors,
        "total_steps": _total_steps(run, settings.training),
        "checkpoint": str(run.checkpoint),
        "best_checkpoint": str(run.best_checkpoint),
        "resume_checkpoint": str(run.resume_checkpoint),
        "metrics_file": str(run.metrics_file),
        "progress_file": str(run.progress_file),
        "details": {
            "notation": settings.captions.notation,
            "max_tokens": _max_tokens(run, start),
            "encoder_version": encoder_version(settings.captioner),
        },
        "provenance": {
            "model_version": run.model_version,
            "data_fingerprint": run.data.fingerprint,
            "num_train_images": run.data.num_train,
            "table_versions": run.table_versions,
            "git_commit": git_commit(),
            "num_workers": settings.cluster.num_workers,
            "settings": settings.model_dump(mode="json", include={"cleaning", "captions", "captioner", "training"}),
        },
    }


def _total_steps(run: TrainingRun, training: TrainingConfig) -> int:
    return training.num_epochs * len(
        step_sizes(run.data.num_train, training.batch_size, training.num_batches_in_buffer)
    )


def _max_tokens(run: TrainingRun, start: Path | None) -> int:
    """The largest number of tokens of a caption, <end> included: the longest caption trained on, here or before."""
    learned_before = load_details(start)["max_tokens"] if start else 0
    return max(run.data.max_tokens + 1, learned_before)


def _cider_scorer(rows: RowBlocks) -> CiderScorer:
    return CiderScorer([[*caption, END] for caption in captions] for captions in rows.captions())


def _device(local_rank: int, uses_gpus: bool) -> torch.device:
    """The GPU of this worker's index on its machine, or, where there are none so many, the cores."""
    if uses_gpus and local_rank < torch.cuda.device_count():
        torch.cuda.set_device(local_rank)
        return torch.device("cuda", local_rank)
    return torch.device("cpu")


def batches_of_epoch(
    rows: RowBlocks,
    captioner: CaptionerConfig,
    notation: Notation,
    training: TrainingConfig,
    state: TrainingState,
    worker: Worker,
) -> Iterator[Batch]:
    """This worker's part of what is left of an epoch, decoded as it is asked for."""
    for part, weight in parts_of_epoch(rows, training, state.epoch, state.step_in_epoch, worker):
        samples = [as_sample(row, captioner, notation) for row in part]
        yield replace(collate(samples, captioner.num_channels), weight=weight)


def _first_fault(error: BaseException) -> str:
    """The line of a worker's or an executor's traceback that names what went wrong."""
    lines = [text.strip() for text in str(error).splitlines() if text.strip()]
    if any(sign in str(error) for sign in _SIGNS_OF_A_LOST_EXECUTOR):
        return (
            "an executor of the hand-over ended, most often for lack of memory: "
            "raise cluster.memory_per_spark_executor, or see the job's log"
        )
    named = [text for text in lines if "Error" in text and not text.startswith(("File", "ray.", "Traceback", "at "))]
    return (named or lines or [type(error).__name__])[-1]
