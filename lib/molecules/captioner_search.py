"""A search with Ray Tune for the learning rate, batch size and width that learn most from drawings in a given time."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray.tune
import torch
from ray.tune.search import BasicVariantGenerator

from lib.errors import TrainingFailedError
from lib.fingerprints import fingerprint
from lib.molecules.drawing_feed import DrawingFeed, validation_batches
from lib.molecules.drawing_store import DrawingStore, fill_store
from lib.molecules.drawing_training import check_what_is_taught, frequent_tokens
from lib.progress import polling, show_progress
from lib.settings import Settings
from lib.training.ray_cluster import check_cluster, ray_cluster
from model.checkpoint import new_captioner
from model.training_loop import TrainingState, ignore_step, make_optimizer, train_epoch, validate
from model.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

COLUMNS = ("learning rate", "batch size", "width", "validation loss", "token accuracy", "images", "seconds", "outcome")
NUM_STEPS = 10**9  # more than there is time for: the rate falls with the time that is gone
ATTEMPTS = "attempts.txt"  # of a trial: a line for each time that it was begun


def search_captioners(settings: Settings) -> str:
    """Train networks from nothing on stored drawings, each for the same time; write and return the table of outcomes.

    Interrupted and called again with the same settings, it goes on with the trials that had not ended. Raises
    TrainingFailedError if no trial reached its end.
    """
    check_what_is_taught(settings)
    check_cluster(settings.cluster)
    folder = Path(settings.storage.root).absolute() / "search"
    fill_store(folder / "drawings", settings.drawing, settings.cleaning)
    vocabulary = Vocabulary.from_tokens(frequent_tokens(DrawingStore(folder / "drawings")))
    name = fingerprint(settings.search, settings.captioner, settings.training, settings.drawing, settings.wear)
    # What Ray says of it belongs in the log: the table alone is the answer.
    with ray_cluster(settings.cluster), _follow(folder / name, settings.search.num_trials), redirect_stdout(sys.stderr):
        results = _tuner(settings, folder, name, vocabulary).fit()
    ranked = sorted(results, key=lambda result: (result.metrics or {}).get("validation_loss", float("inf")))
    table = _as_table(ranked)
    (folder / "trials.md").write_text(table)
    if all(result.error for result in ranked):
        raise TrainingFailedError(f"no trial reached its end: {folder / 'trials.md'} says what became of each")
    return table


def _tuner(settings: Settings, folder: Path, name: str, vocabulary: Vocabulary) -> ray.tune.Tuner:
    search = settings.search
    given = {"settings": settings, "drawings": folder / "drawings", "vocabulary": vocabulary}
    trial = ray.tune.with_resources(ray.tune.with_parameters(_run_trial, **given), {"cpu": 1})
    if ray.tune.Tuner.can_restore(str(folder / name)):
        return ray.tune.Tuner.restore(str(folder / name), trainable=trial, resume_unfinished=True)
    return ray.tune.Tuner(
        trial,
        param_space={
            "learning_rate": ray.tune.loguniform(*search.learning_rate),
            "batch_size": ray.tune.choice(search.batch_size),
            "width": ray.tune.choice(search.width),
        },
        tune_config=ray.tune.TuneConfig(
            num_samples=search.num_trials,
            max_concurrent_trials=search.num_at_once,
            search_alg=BasicVariantGenerator(random_state=settings.training.seed),
        ),
        run_config=ray.tune.RunConfig(name=name, storage_path=str(folder), verbose=0),
    )


def _run_trial(chosen: dict[str, Any], settings: Settings, drawings: Path, vocabulary: Vocabulary) -> None:
    """Train one network in a worker of Ray's, for search.seconds_per_trial, and report how well it reads."""
    with (Path(ray.tune.get_context().get_trial_dir()) / ATTEMPTS).open("a") as file:
        file.write("begun\n")
    torch.set_num_threads(settings.cluster.threads_per_worker)
    training = replace(
        settings.training,
        learning_rate=chosen["learning_rate"],
        batch_size=chosen["batch_size"],
        start_from=None,
        max_train_seconds=settings.search.seconds_per_trial,
    )
    settings = settings.model_copy(update={"training": training})
    store, device = DrawingStore(drawings), torch.device("cpu")
    torch.manual_seed(training.seed)
    captioner = new_captioner(replace(settings.captioner, width=chosen["width"]), vocabulary)
    optimizer, state = make_optimizer(captioner, training), TrainingState()
    feed = DrawingFeed(store, vocabulary, settings, state, device)
    while not state.is_out_of_time:
        train_epoch(captioner, feed.batches(), optimizer, training, state, NUM_STEPS, ignore_step)
    scores = validate(captioner, validation_batches(store, vocabulary, settings, device), training.precision)
    ray.tune.report(
        {
            "validation_loss": scores["loss"],
            "token_accuracy": scores["token_accuracy"],
            "images": state.step * training.batch_size,
            "seconds": state.seconds,
        }
    )


def _as_table(results: list[Any]) -> str:
    """Trials, the best first, as a table in Markdown, with what became of those that have no score."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for result in results:
        # Not result.config, which a failed trial of a search that was interrupted has no more.
        chosen, reached = json.loads((Path(result.path) / "params.json").read_text()), result.metrics or {}
        cells = [f"{chosen['learning_rate']:.2e}", str(chosen["batch_size"]), str(chosen["width"])]
        if "validation_loss" in reached:
            cells += [f"{reached['validation_loss']:.4f}", f"{reached['token_accuracy']:.3f}"]
            cells += [f"{reached['images']:,}", f"{reached['seconds']:.0f}"]
        else:
            cells += [""] * 4
        lines.append("| " + " | ".join([*cells, _outcome(result)]) + " |")
    return "\n".join(lines) + "\n"


def _outcome(result: Any) -> str:
    attempts = Path(result.path) / ATTEMPTS
    num_attempts = len(attempts.read_text().splitlines()) if attempts.is_file() else 0
    if result.error is not None:
        said = [line.strip() for line in str(result.error).splitlines() if line.strip()]
        return "failed: " + said[-1].replace("|", "/")
    return "done" if num_attempts <= 1 else f"done, begun {num_attempts} times"


@contextmanager
def _follow(folder: Path, num_trials: int) -> Iterator[None]:
    """Show how many trials have ended while the block runs."""

    def look() -> None:
        ended = [*folder.glob("*/result.json"), *folder.glob("*/error.txt")]
        line.update(len({path.parent for path in ended if path.stat().st_size}))

    with show_progress("tune_captioner", num_trials, unit="trials") as line, polling(look, every_s=1.0):
        yield
