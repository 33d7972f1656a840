"""The captioner, optimizer and state of a training that begins or resumes."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from model.captioner import Captioner
from model.checkpoint import captioner_to_train, has_checkpoint, load_training_state
from model.config import CaptionerConfig, TrainingConfig
from model.training_loop import TrainingState, make_optimizer, unpack_training
from model.vocabulary import Vocabulary


class Learner(NamedTuple):
    """A captioner with its optimizer and training state."""

    captioner: Captioner
    optimizer: torch.optim.Optimizer
    state: TrainingState
    resumed: dict[str, Any]  # the training state of the checkpoint that was resumed; empty if none was


def begin_or_resume(
    resume_from: str | Path,
    start_from: str | Path | None,
    config: CaptionerConfig,
    training: TrainingConfig,
    vocabulary: Vocabulary,
    device: torch.device,
) -> Learner:
    """Return the learner of the training that was interrupted at `resume_from`, else one that begins at `start_from`.

    Sets torch's random numbers. Raises CheckpointError, EncoderWeightsError.
    """
    torch.manual_seed(training.seed)
    captioner = captioner_to_train(resume_from, start_from, config, vocabulary).to(device)
    optimizer = make_optimizer(captioner, training)
    resumed = (load_training_state(resume_from) if has_checkpoint(resume_from) else None) or {}
    state = unpack_training(resumed, optimizer) if resumed else TrainingState()
    return Learner(captioner, optimizer, state, resumed)
