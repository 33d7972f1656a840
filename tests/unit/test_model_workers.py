"""Training as one of several workers: the same weights everywhere, and nobody waits for a worker that has finished."""

from pathlib import Path

import torch
from tiny_captioner import ignore, quick_training, stroke_batch, tiny_captioner
from torch.nn.parallel import DistributedDataParallel

from model.training_loop import TrainingState, make_optimizer, train_epoch, validate


def train_one_of_two(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    config = quick_training(max_train_seconds=1000.0)
    model = DistributedDataParallel(tiny_captioner(seed=rank, num_cell_labels=0))
    batches = [stroke_batch(8, seed=10 * rank + place) for place in range(3 + 2 * rank)]
    # Clocks differ between workers, and the learning rate follows the clock.
    state = TrainingState(seconds=400.0 * rank)
    train_epoch(model, batches, make_optimizer(model, config), config, state, 3, ignore)
    scores = validate(model, batches, "fp32")
    torch.save({"weights": model.module.state_dict(), "steps": state.step, "scores": scores}, f"{folder}/{rank}.pt")
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
