"""The captioner, optimizer and state of a training that begins or resumes."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from model.captioner import Captioner
from model.checkpoint import captioner_to_train, has_checkpoint, load_captioner, load_training_state
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

    word_vectors (V, E) are the starting vectors of tokens, rows of NaN for those that begin at random. Where embeddings
    are frozen, rows that begin at random are learned all the same. Sets torch's random numbers. Raises CheckpointError,
    EncoderWeightsError.
    """
    torch.manual_seed(training.seed)
    captioner = captioner_to_train(resume_from, start_from, config, vocabulary)
    if word_vectors is not None and not has_checkpoint(resume_from):
        fill_embedding(captioner.decoder.embedding, torch.from_numpy(word_vectors))
    captioner = captioner.to(device)
    embedding, is_frozen = captioner.decoder.embedding, torch.zeros(len(vocabulary), dtype=torch.bool)  # (V,)
    if training.is_embedding_frozen and word_vectors is not None:
        is_frozen = ~torch.from_numpy(word_vectors).isnan().any(dim=1)
    elif training.is_embedding_frozen and start_from:
        is_frozen[: len(load_captioner(start_from)[1])] = True
    embedding.requires_grad_(not bool(is_frozen.all()))
    optimizer = make_optimizer(captioner, training)
    if is_frozen.any() and not is_frozen.all():
        _keep_rows(embedding, is_frozen.to(device), optimizer)
    resumed = (load_training_state(resume_from) if has_checkpoint(resume_from) else None) or {}
    state = unpack_training(resumed, optimizer) if resumed else TrainingState()
    return Learner(captioner, optimizer, state, resumed)


def _keep_rows(embedding: nn.Embedding, is_kept: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Keep the rows of an embedding where is_kept (V,) as they are in every step of the optimizer."""
    kept = embedding.weight.detach()[is_kept].clone()
    embedding.weight.register_hook(lambda gradient: gradient.masked_fill(is_kept[:, None], 0))

    def put_back(*_: object) -> None:  # the decay of weights needs no gradient
        with torch.no_grad():
            embedding.weight[is_kept] = kept

    optimizer.register_step_post_hook(put_back)


@torch.no_grad()
def fill_embedding(embedding: nn.Embedding, vectors: Tensor) -> None:
    """Put vectors (V, E) into an embedding; tokens whose row is NaN keep random vectors, scaled as the others are."""
    is_known = ~vectors.isnan().any(dim=1)
    embedding.weight.mul_(vectors[is_known].square().mean().sqrt())  # torch's are of variance 1
    embedding.weight[is_known] = vectors[is_known]
