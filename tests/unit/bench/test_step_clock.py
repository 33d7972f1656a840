"""The clock of bench/distributed.py: `pytest tests/unit/bench/test_step_clock.py`."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from bench.step_clock import PHASES, StepClock
from model.batches import Batch
from model.captioner import Explaining
from model.training_loop import TrainingState, ignore_step, make_optimizer, train_epoch
from model.workers import connect
from tests.unit.tiny_captioner import quick_training, stroke_batch, tiny_captioner

PAUSE_S = 0.2  # far longer than anything in a step of so small a network


@pytest.fixture(autouse=True, scope="module")
def first_step() -> None:
    """The first step of a process takes longer, for what it loads."""
    captioner, config = tiny_captioner(), quick_training()
    train_epoch(
        captioner, [stroke_batch(4)], make_optimizer(captioner, config), config, TrainingState(), 1, ignore_step
    )


def clocked(monkeypatch: pytest.MonkeyPatch, slow: str) -> StepClock:
    """Three steps of which one phase is slow."""

    def slowly(work: Any) -> Any:
        def paused(*arguments: Any, **named: Any) -> Any:
            time.sleep(PAUSE_S)
            return work(*arguments, **named)

        return paused

    def batches() -> Iterator[Batch]:
        for index in range(3):
            time.sleep(PAUSE_S if slow == "data" else 0)
            yield stroke_batch(4, index)

    captioner, config = tiny_captioner(), quick_training()
    optimizer = make_optimizer(captioner, config)
    if slow == "forward":
        captioner.encoder.forward = slowly(captioner.encoder.forward)
    if slow == "backward":
        next(captioner.encoder.parameters()).register_hook(lambda _: time.sleep(PAUSE_S))
    if slow == "exchange":
        connect(slowly(lambda values, _: values))
    if slow == "rest":
        monkeypatch.setattr(optimizer, "step", slowly(optimizer.step))
    model = Explaining(captioner)
    clock = StepClock(model)
    try:
        with clock.watching():
            train_epoch(model, clock.timed(batches()), optimizer, config, TrainingState(), 3, ignore_step)
    finally:
        connect(None)
    return clock


@pytest.mark.parametrize("slow", PHASES)
def test_what_is_slow_is_found_in_its_own_phase(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.perf_counter()
    clock = clocked(monkeypatch, slow)
    elapsed = time.perf_counter() - began
    assert len(clock.steps) == 3
    for step in clock.steps:
        assert min(step.values()) >= 0
        assert step[slow] >= PAUSE_S
        assert max(PHASES, key=lambda phase: step[phase]) == slow
    assert sum(sum(step.values()) for step in clock.steps) < elapsed


def test_nothing_is_left_behind() -> None:
    before = torch.autograd.backward
    captioner = tiny_captioner()
    with StepClock(captioner).watching():
        assert torch.autograd.backward is not before
    assert torch.autograd.backward is before
    assert not captioner._forward_pre_hooks
