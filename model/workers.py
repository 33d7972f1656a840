"""Reductions over the workers of one training, by torch.distributed or another library; one process is one worker."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

Operation = Literal["sum", "max"]
AllReduce = Callable[[Tensor, Operation], Tensor]

_connected: AllReduce | None = None


class Worker(NamedTuple):
    """One of the workers of a training."""

    rank: int = 0
    num_workers: int = 1

    def part_of(self, batch: np.ndarray) -> np.ndarray:
        """Return its part (B / num_workers,) of a batch (B,) of plan_batches; parts have similar lengths."""
        return batch[self.rank :: self.num_workers]


def connect(all_reduce: AllReduce | None) -> None:
    """Let all_reduce, rather than torch.distributed, be what connects the workers from now on; None takes it back."""
    global _connected
    _connected = all_reduce


def over_all_workers(values: Tensor, operation: Operation) -> Tensor:
    """Return values of any shape summed, or the largest of each, over all workers; every worker must call this."""
    if _connected is not None:
        return _connected(values, operation)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        operations = {"sum": torch.distributed.ReduceOp.SUM, "max": torch.distributed.ReduceOp.MAX}
        torch.distributed.all_reduce(values, op=operations[operation])
    return values
