"""Images to captions, token by token: greedy and beam search; knows the captioner's steps, not its insides.

B images still being written, C channels, H W image height and width, K beams, T tokens so far, V vocabulary.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.captioner import Captioner, Grid, State
from model.vocabulary import END, PAD, START, UNKNOWN

# No caption holds these tokens: the next most probable token is taken instead.
NEVER_WRITTEN = [PAD, START, UNKNOWN]


@dataclass(frozen=True)
class Candidate:
    """One caption for one image, with its score and probability."""

    token_ids: tuple[int, ...]  # without <start> and <end>
    score: float  # log-probability of the whole caption, <end> included, in nats
    probability: float  # the same as a probability, 0 to 1
    is_finished: bool  # false: cut off, max_tokens came before <end>


@dataclass(frozen=True)
class _Beams:
    """The captions being written; a beam that has ended is kept unchanged and still ranks among the others."""

    images: Tensor  # (B,) index of each image in the caller's batch
    tokens: Tensor  # (B, K, T) <start> first, <pad> after <end>
    log_probabilities: Tensor  # (B, K), largest first
    is_ended: Tensor  # (B, K)
    grid: Grid
    state: State

    def select(self, chosen: Tensor) -> "_Beams":
        """Return the beams of some of the images, by mask (bool, (B,))."""
        return _Beams(
            images=self.images[chosen],
            tokens=self.tokens[chosen],
            log_probabilities=self.log_probabilities[chosen],
            is_ended=self.is_ended[chosen],
            grid=self.grid.select(chosen),
            state=self.state.select(chosen),
        )


@torch.inference_mode()
def greedy(captioner: Captioner, images: Tensor, max_tokens: int) -> list[Candidate]:
    """Return the caption of each of the images (B, C, H, W) that takes the likeliest token each time."""
    grid = captioner.encode(images)
    candidates = beam_search(captioner, grid, num_beams=1, max_tokens=max_tokens)
    return [best for (best,) in candidates]


@torch.inference_mode()
def beam_search(captioner: Captioner, grid: Grid, num_beams: int, max_tokens: int) -> list[list[Candidate]]:
    """Return up to num_beams captions for each of the B images of a grid (captioner.encode), best first.

    max_tokens counts <end>. The captioner must be in evaluation mode; then an image's captions do not depend on the
    others in its batch.
    """
    beams = _start(captioner, grid, num_beams)
    candidates: list[list[Candidate]] = [[] for _ in grid.keys]
    for _ in range(max_tokens):
        logits, state = captioner.step(beams.tokens[:, :, -1], beams.grid, beams.state)  # (B, K, V)
        beams = _extend(beams, logits, state)
        is_open = ~beams.is_ended.all(dim=1)  # (B,)
        num_open = int(is_open.sum())
        if num_open == 0:
            break
        # Finished images leave, so that one long caption does not slow the rest; in groups, as moving costs a copy.
        if num_open <= 0.75 * len(is_open):
            _collect(beams.select(~is_open), candidates)
            beams = beams.select(is_open)
    _collect(beams, candidates)
    return candidates


def _start(captioner: Captioner, grid: Grid, num_beams: int) -> _Beams:
    """Return beams (B, K, 1) of <start> alone; all but the first have log-probability -inf, since they are equal."""
    shape, device = (len(grid.keys), num_beams), grid.keys.device
    log_probabilities = torch.full(shape, -torch.inf, device=device)  # (B, K)
    log_probabilities[:, 0] = 0
    return _Beams(
        images=torch.arange(len(grid.keys), device=device),
        tokens=torch.full((*shape, 1), START, device=device),  # (B, K, 1)
        log_probabilities=log_probabilities,
        is_ended=torch.zeros(shape, dtype=torch.bool, device=device),
        grid=grid,
        state=captioner.start(grid, num_beams),
    )


def _extend(beams: _Beams, logits: Tensor, state: State) -> _Beams:
    """Return the best K continuations of each image's beams by one token, from its logits (B, K, V)."""
    num_beams, num_tokens = logits.shape[1:]
    scores = logits.float().log_softmax(dim=2)  # (B, K, V)
    # After the softmax: what these tokens would have got counts against the network's confidence.
    scores[..., NEVER_WRITTEN] = -torch.inf
    scores[beams.is_ended] = -torch.inf
    scores[..., PAD].masked_fill_(beams.is_ended, 0)
    totals = (beams.log_probabilities[..., None] + scores).flatten(1)  # (B, K * V)
    log_probabilities, indices = totals.topk(num_beams, dim=1)  # (B, K)
    parents, token_ids = indices // num_tokens, indices % num_tokens  # (B, K)
    was_ended = beams.is_ended.gather(1, parents)  # (B, K)
    history = beams.tokens.gather(1, parents[..., None].expand_as(beams.tokens))  # (B, K, T)
    return replace(
        beams,
        tokens=torch.cat((history, token_ids[..., None]), dim=2),  # (B, K, T + 1)
        log_probabilities=log_probabilities,
        is_ended=was_ended | (token_ids == END),
        state=state.follow(parents),
    )


def _collect(beams: _Beams, candidates: list[list[Candidate]]) -> None:
    """Put the captions of these images among the candidates of their image, best first."""
    columns = (beams.images, beams.tokens[:, :, 1:], beams.log_probabilities)
    for image, captions, totals in zip(*(column.tolist() for column in columns), strict=True):
        for caption, total in zip(captions, totals, strict=True):
            if total == -float("inf"):  # the vocabulary has fewer continuations than there are beams
                continue
            written = [token_id for token_id in caption if token_id != PAD]
            is_finished = written[-1:] == [END]
            candidates[image].append(
                Candidate(
                    token_ids=tuple(written[:-1] if is_finished else written),
                    score=total,
                    probability=math.exp(total),
                    is_finished=is_finished,
                )
            )
        candidates[image].sort(key=lambda candidate: candidate.score, reverse=True)
