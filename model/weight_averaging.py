"""An exponential moving average of the weights over training steps; it scores better than the last weights."""

from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]
Network = TypeVar("Network", bound=nn.Module)


class WeightAverage(Generic[Network]):
    """The average of a network's weights over its last steps, running means of its norms included.

    Each step counts `decay` times as much as the one after it. The decay is smaller in the first steps, so that the
    starting weights soon leave the average.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay, self.step = decay, 0
        self._averaged = AveragedModel(network, multi_avg_fn=self._mix, use_buffers=True)
        self._averaged.n_averaged.fill_(1)  # else the first update would replace the weights, not be mixed in
        self.network.requires_grad_(False).eval()

    @property
    def network(self) -> Network:
        """The network with the averaged weights."""
        return self._averaged.module  # type: ignore[return-value]  # a copy of what was given

    def update(self, network: Network, step: int) -> None:
        """Take in the weights after that step, counted from 1."""
        self.step = step
        self._averaged.update_parameters(network)

    def _mix(self, averaged: Tensors, weights: Tensors, _num_averaged: Tensor | int) -> None:
        """Move the averages towards the weights in place; pairs of tensors of one type and any shape."""
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, weights, 1 - min(self.decay, self.step / (self.step + 10)))
        else:  # how many batches a norm has seen
            torch._foreach_copy_(averaged, weights)

    @classmethod
    def begin_or_resume(
        cls, network: Network, decay: float, resumed: dict[str, Any]
    ) -> "WeightAverage[Network] | None":
        """Return the average of a training, which goes on from its training state; None if the decay is 0."""
        if not decay:
            return None
        average = cls(network, decay)
        if "average" in resumed:
            average.unpack(resumed["average"])
        return average

    def pack(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps so that averaging can go on."""
        return self.network.state_dict()

    def unpack(self, packed: dict[str, Tensor]) -> None:
        """Go on from what `pack` returned."""
        self.network.load_state_dict(packed)
