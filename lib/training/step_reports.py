"""Reports and checkpoints at intervals of steps, made by the first worker of a training."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from model.captioner import Captioner
from model.checkpoint import save_checkpoint
from model.config import TrainingConfig
from model.learner import Learner
from model.training_loop import StepReport, pack_training
from model.vocabulary import Vocabulary
from model.weight_averaging import WeightAverage


class StepReporter(ABC):
    """Writes checkpoints of a learner, and says at intervals how training goes."""

    def __init__(
        self,
        learner: Learner,
        vocabulary: Vocabulary,
        training: TrainingConfig,
        latest: Path,
        details: dict[str, Any],
        average: WeightAverage[Captioner] | None,
    ) -> None:
        """`latest` is the checkpoint to resume from; `average` is that of the weights, which the caller updates."""
        self.captioner, self.optimizer, self.state, _ = learner
        self.vocabulary, self.training, self.latest, self.details = vocabulary, training, latest, details
        self.average = average
        self.losses: list[float] = []  # since the last report
        self.last: StepReport | None = None

    @abstractmethod
    def report(self, step: StepReport) -> None:
        """Say how training goes."""

    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """The provenance that checkpoints store."""

    def training_state(self) -> dict[str, Any]:
        """The state, besides the weights, that resuming needs."""
        packed = pack_training(self.state, self.optimizer)
        return packed | {"average": self.average.pack()} if self.average else packed

    @property
    def learned(self) -> Captioner:
        """The captioner to use: that with the average of the weights, where there is one."""
        return self.average.network if self.average else self.captioner

    def on_step(self, step: StepReport) -> None:
        """Count the step; at their intervals report, and write a checkpoint to resume from."""
        self.losses.append(step.loss)
        self.last = step
        if step.step % self.training.log_interval_steps == 0:
            self.report(step)
        if step.step % self.training.checkpoint_interval_steps == 0:
            self.save_latest()

    def mean_loss(self) -> float | None:
        """The mean over the steps since this was last asked; None if there were none."""
        losses, self.losses = self.losses, []
        return sum(losses) / len(losses) if losses else None

    def save_latest(self) -> None:
        """Write a checkpoint to resume from."""
        self.save(self.latest, self.training_state())

    def save(self, directory: Path, training_state: dict[str, Any] | None = None, **facts: Any) -> None:
        """Write a checkpoint to use, or with the training state one to resume; `facts` go to its provenance."""
        save_checkpoint(
            directory,
            self.captioner if training_state else self.learned,
            self.vocabulary,
            details=self.details,
            provenance=self.provenance() | facts,
            training_state=training_state,
        )
