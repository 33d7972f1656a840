"""The captioner, optimizer and state of a training that begins or resumes."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

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
    word_vectors: np.ndarray | None = None,
) -> Learner:
    """Return the learner of the training that was interrupted at `resume_from`, else one that begins at `start_from`.

    word_vectors (V, E) are the starting vectors of tokens, rows of NaN for those that begin at random.
    Sets torch's random numbers. Raises CheckpointError, EncoderWeightsError.
    """
    torch.manual_seed(training.seed)
    captioner = captioner_to_train(resume_from, start_from, config, vocabulary)
    if word_vectors is not None and not has_checkpoint(resume_from):
        fill_embedding(captioner.decoder.embedding, torch.from_numpy(word_vectors))
    captioner.decoder.embedding.requires_grad_(not training.is_embedding_frozen)
    captioner = captioner.to(device)
    optimizer = make_optimizer(captioner, training)
    resumed = (load_training_state(resume_from) if has_checkpoint(resume_from) else None) or {}
    state = unpack_training(resumed, optimizer) if resumed else TrainingState()
    return Learner(captioner, optimizer, state, resumed)


@torch.no_grad()
def fill_embedding(embedding: nn.Embedding, vectors: Tensor) -> None:
    """Put vectors (V, E) into an embedding; tokens whose row is NaN keep random vectors, scaled as the others are."""
    is_known = ~vectors.isnan().any(dim=1)
    embedding.weight.mul_(vectors[is_known].square().mean().sqrt())  # torch's are of variance 1
    embedding.weight[is_known] = vectors[is_known]
