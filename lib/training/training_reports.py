"""Reports of a run's first worker: metrics, checkpoints, and the progress that the job shows."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib.progress import ProgressLine, polling
from lib.training.step_reports import StepReporter
from lib.training.training_runs import TrainingRun
from model.captioner import Captioner
from model.checkpoint import has_checkpoint, move_checkpoint
from model.config import TrainingConfig
from model.learner import Learner
from model.training_loop import StepReport
from model.vocabulary import Vocabulary
from model.weight_averaging import WeightAverage

TELL_EVERY_S = 1.0


class TrainingReporter(StepReporter):
    """Writes metrics and checkpoints while training runs; the first worker has one."""

    def __init__(
        self,
        config: dict[str, Any],
        learner: Learner,
        vocabulary: Vocabulary,
        average: WeightAverage[Captioner] | None = None,
    ) -> None:
        training, latest = TrainingConfig(**config["training"]), Path(config["resume_checkpoint"])
        super().__init__(learner, vocabulary, training, latest, config["details"], average)
        self.config = config
        self.scores: dict[str, float] = {}
        self.told_at = time.monotonic()

    def report(self, step: StepReport) -> None:
        """Write a line of metrics."""
        self._write_metrics(step.epoch, {})

    def on_step(self, step: StepReport) -> None:
        """Count the step and, every second, say how far training has come."""
        super().on_step(step)
        if time.monotonic() - self.told_at >= TELL_EVERY_S:
            self._tell()

    def on_epoch(self, scores: dict[str, float], is_best: bool) -> None:
        """Write the scores of an epoch that has ended, or of what there was time for, and keep the best model."""
        self.scores = scores
        self._tell()
        self._write_metrics(self.state.epoch, scores)
        if is_best:
            self.save(self.config["best_checkpoint"])
        self.save_latest()

    def on_end(self) -> None:
        """Publish the best model of the run; without validation, the last."""
        if not has_checkpoint(self.config["best_checkpoint"]):
            self.save(self.config["best_checkpoint"])
        move_checkpoint(self.config["best_checkpoint"], self.config["checkpoint"])

    def _tell(self) -> None:
        """Say how far training has come, for the line of progress that the job shows."""
        self.told_at = time.monotonic()
        last, state = self.last, self.state
        Path(self.config["progress_file"]).write_text(
            json.dumps(
                {
                    "epoch": last.epoch if last else state.epoch,
                    "step": state.step,
                    "total_steps": self.config["total_steps"],
                    "seconds": state.seconds,
                    "loss": last.loss if last else None,
                    "edit_distance": self.scores.get("validation_edit_distance"),
                    "images_per_second": last.images_per_second * self.config["provenance"]["num_workers"]
                    if last
                    else 0.0,
                }
            )
        )

    def provenance(self) -> dict[str, Any]:
        """What is trained, and how far it has come."""
        state = self.state
        progress = {"epochs": state.epoch, "steps": state.step, "train_seconds": state.seconds}
        return self.config["provenance"] | progress | self.scores

    def _write_metrics(self, epoch: int, scores: dict[str, float]) -> None:
        num_workers = self.config["provenance"]["num_workers"]
        last = self.last
        line = {
            "run_id": self.config["provenance"]["model_version"],
            "epoch": epoch,
            "step": self.state.step,
            "train_loss": self.mean_loss(),
            "validation_loss": scores.get("validation_loss"),
            "validation_token_accuracy": scores.get("validation_token_accuracy"),
            "validation_edit_distance": scores.get("validation_edit_distance"),
            "learning_rate": last.learning_rate if last else None,
            "images_per_second": last.images_per_second * num_workers if last else None,
            "num_workers": num_workers,
            "reported_at": datetime.now(UTC).isoformat(),
        }
        with Path(self.config["metrics_file"]).open("a") as file:
            file.write(json.dumps(line) + "\n")


@contextmanager
def following(run: TrainingRun, training: TrainingConfig, line: ProgressLine) -> Iterator[None]:
    """Show what the run's first worker tells of its progress while the block runs."""

    def look() -> None:
        with suppress(OSError, json.JSONDecodeError):  # nothing told yet, or being written at this moment
            told = json.loads(run.progress_file.read_text())
            done = line.total * told["step"] / told["total_steps"]
            limit_s = training.max_train_seconds
            most_left_s = None if limit_s is None else limit_s - told["seconds"]
            line.update(done, _progress_note(told, training), told["images_per_second"], most_left_s)

    with polling(look, every_s=1.0):
        yield


def _progress_note(told: dict[str, Any], training: TrainingConfig) -> str:
    parts = [f"epoch {min(told['epoch'] + 1, training.num_epochs)}/{training.num_epochs}", f"step {told['step']}"]
    if told["loss"] is not None:
        parts.append(f"loss {told['loss']:.3f}")
    if told["edit_distance"] is not None:
        parts.append(f"distance {told['edit_distance']:.1f}")
    return ", ".join(parts)
