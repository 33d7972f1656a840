"""Splits the time of training steps into phases, from outside: the loop itself has no clock."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from model import training_loop
from model.batches import Batch
from model.workers import over_all_workers

# data: until the batch is there. forward: with the loss. backward: until the last gradient is known. exchange: from
# then until all gradients are averages, and the meeting before each step, where the fast wait for the slow. rest:
# clipping, the optimizer, and what is between.
PHASES = ("data", "forward", "backward", "exchange", "rest")


class StepClock:
    """Seconds of each step by phase; used by one worker for one epoch."""

    def __init__(self, model: nn.Module) -> None:
        self.steps: list[dict[str, float]] = []
        self.meeting_s = 0.0  # part of exchange
        self._model = model
        self._gradient_known = self._forward_began = 0.0

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches, each a step from when it is asked for until the next one is."""
        source = iter(batches)
        while True:
            began = time.perf_counter()
            batch = next(source, None)
            if batch is None:
                return
            self.steps.append(dict.fromkeys(PHASES, 0.0) | {"data": time.perf_counter() - began})
            yield batch
            step = self.steps[-1]
            step["rest"] = time.perf_counter() - began - sum(step.values())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the training loop while the block runs."""
        hooks = [self._model.register_forward_pre_hook(self._on_forward)]
        hooks += [
            parameter.register_post_accumulate_grad_hook(self._on_gradient)
            for parameter in self._model.parameters()
            if parameter.requires_grad
        ]
        backward, meet = torch.autograd.backward, over_all_workers
        with (
            mock.patch.object(torch.autograd, "backward", self._around_backward(backward)),
            mock.patch.object(training_loop, "over_all_workers", self._around_meeting(meet)),
        ):
            yield
        for hook in hooks:
            hook.remove()

    def _on_forward(self, *_: Any) -> None:
        self._forward_began = time.perf_counter()

    def _on_gradient(self, _: Tensor) -> None:
        self._gradient_known = time.perf_counter()

    def _around_backward(self, backward: Callable[..., None]) -> Callable[..., None]:
        def timed(*arguments: Any, **named: Any) -> None:
            began = time.perf_counter()
            backward(*arguments, **named)
            step = self.steps[-1]
            step["forward"] = began - self._forward_began
            step["backward"] = self._gradient_known - began
            step["exchange"] += time.perf_counter() - self._gradient_known

        return timed

    def _around_meeting(self, meet: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def timed(*arguments: Any, **named: Any) -> Tensor:
            began = time.perf_counter()
            values = meet(*arguments, **named)
            seconds = time.perf_counter() - began
            if self.steps:
                self.steps[-1]["exchange"] += seconds
            self.meeting_s += seconds
            return values

        return timed
