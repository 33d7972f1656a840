"""Training as one of several workers: the same weights everywhere, and nobody waits for a worker that has finished."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from model.batches import collate, plan_batches, weight_of
from model.captioner import Explaining
from model.training_loop import TrainingState, ignore_step, make_optimizer, train_epoch, validate
from model.workers import Worker
from tests.unit.tiny_captioner import quick_training, stroke_batch, stroke_samples, tiny_captioner


def train_one_of_two(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    config = quick_training(max_train_seconds=1000.0)
    captioner = tiny_captioner(seed=rank, num_cell_labels=0)
    model = DistributedDataParallel(Explaining(captioner))
    batches = [stroke_batch(8, seed=10 * rank + index) for index in range(3 + 2 * rank)]
    # Clocks differ between workers, and the learning rate follows the clock.
    state = TrainingState(seconds=400.0 * rank)
    train_epoch(model, batches, make_optimizer(model, config), config, state, 3, ignore_step)
    scores = validate(captioner, batches, "fp32")
    torch.save({"weights": captioner.state_dict(), "steps": state.step, "scores": scores}, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_workers_with_uneven_batches_stop_together_with_the_same_weights(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(train_one_of_two, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert first["steps"] == second["steps"] == 3
    assert first["scores"]["num_tokens"] != second["scores"]["num_tokens"]
    untrained = tiny_captioner(seed=0, num_cell_labels=0).state_dict()
    for name, _ in tiny_captioner(num_cell_labels=0).named_parameters():
        assert torch.equal(first["weights"][name], second["weights"][name]), name
        assert not torch.equal(first["weights"][name], untrained[name]), name


WEIGHTS = np.where(np.arange(77) % 5 == 0, 2.5, 1.0)  # of captions
SAMPLES = [
    sample | {"caption_weight": weight} for sample, weight in zip(stroke_samples(77), WEIGHTS.tolist(), strict=True)
]
NUM_TOKENS = np.array([len(sample["token_ids"]) for sample in SAMPLES])


def validation_loss_after_training(rank: int, num_workers: int) -> float:
    """Of five epochs in which each worker takes its fraction of every step."""
    config, state = quick_training(batch_size=13, num_epochs=5), TrainingState()
    captioner = tiny_captioner(is_encoder_frozen=True, num_cell_labels=0)
    model = DistributedDataParallel(Explaining(captioner)) if num_workers > 1 else captioner
    optimizer = make_optimizer(captioner, config)
    while not state.is_over(config):
        plan = plan_batches(NUM_TOKENS, config.batch_size, config.num_batches_in_buffer, (config.seed, state.epoch))
        batches = []
        for step in plan:
            part = Worker(rank, num_workers).part_of(step)
            weight = weight_of(part, step, WEIGHTS * (NUM_TOKENS + 1), num_workers)
            batches.append(replace(collate([SAMPLES[index] for index in part], 1), weight=weight))
        train_epoch(model, batches, optimizer, config, state, 5 * len(plan), ignore_step)
    return validate(captioner, [stroke_batch(40, seed=5)], "fp32")["loss"]


def note_loss_of_one_of_two(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save(validation_loss_after_training(rank, 2), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_workers_learn_what_one_does_at_the_same_global_batch(tmp_path: Path) -> None:
    """To float noise where the encoder's norms are fixed; else they have the statistics of each worker's part."""
    torch.multiprocessing.spawn(note_loss_of_one_of_two, args=(str(tmp_path),), nprocs=2)
    untrained = validate(tiny_captioner(is_encoder_frozen=True, num_cell_labels=0), [stroke_batch(40, seed=5)], "fp32")
    alone = validation_loss_after_training(0, 1)
    assert alone < 0.9 * untrained["loss"]
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt", weights_only=True) == pytest.approx(alone, rel=1e-5)
