"""A moving average of the weights along training: reads better than the last ones, which still follow each batch."""

import copy

import torch
from torch import Tensor

from model.captioner import Captioner


class WeightAverage:
    """The average of a captioner's weights over its last steps, running means of its norms included.

    Each step counts `decay` times the one after it, and the first few steps of a training less, or the weights that it
    began with would stay in the average for long.
    """

    def __init__(self, captioner: Captioner, decay: float) -> None:
        self.captioner = copy.deepcopy(captioner).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, captioner: Captioner, step: int) -> None:
        """Take in the weights after that step, counted from 1."""
        decay = min(self.decay, step / (step + 10))
        averaged, weights = self.captioner.state_dict(), captioner.state_dict()
        moving = [name for name, tensor in weights.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([averaged[name] for name in moving], [weights[name] for name in moving], 1 - decay)
        for name in weights.keys() - moving:  # how many batches a norm has seen
            averaged[name].copy_(weights[name])

    def pack(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps so that averaging can go on."""
        return self.captioner.state_dict()

    def unpack(self, packed: dict[str, Tensor]) -> None:
        """Go on from what `pack` returned."""
        self.captioner.load_state_dict(packed)
