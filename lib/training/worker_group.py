"""The interface of a training worker to the library that started it, and its version for Ray Train."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import ray.train
import ray.train.torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from model.captioner import Captioner, Explaining


class WorkerGroup(Protocol):
    """The workers of one training, as one of them sees them."""

    @property
    def rank(self) -> int:
        """Which of the workers this one is, from 0."""

    @property
    def local_rank(self) -> int:
        """Which of the workers on its machine this one is, from 0."""

    @property
    def num_workers(self) -> int:
        """How many workers there are."""

    def wrap(self, captioner: Captioner) -> nn.Module:
        """The captioner, explaining, with gradients that are averages over all workers when backward() returns."""


Work = Callable[[dict[str, Any], WorkerGroup], None]


class RayTrainGroup:
    """Workers that Ray Train started, for whom it has made a process group of torch."""

    def __init__(self) -> None:
        world = ray.train.get_context()
        self.rank = int(world.get_world_rank())
        self.local_rank = int(world.get_local_rank())
        self.num_workers = int(world.get_world_size())

    def wrap(self, captioner: Captioner) -> nn.Module:
        explaining = Explaining(captioner)
        return DistributedDataParallel(explaining) if self.num_workers > 1 else explaining


def run_on_ray_train(
    work: Work, config: dict[str, Any], num_workers: int, num_cores: int, folder: str, has_gpus: bool = False
) -> None:
    """Run `work` on so many workers of so many cores, and of a GPU if so, until all are done."""
    ray.train.torch.TorchTrainer(
        partial(_begin, work),
        train_loop_config=config,
        # NCCL knows no cores: where some workers have a GPU and others none, gradients are exchanged by gloo.
        torch_config=ray.train.torch.TorchConfig(backend="nccl" if has_gpus else "gloo"),
        # Spread: workers on one machine share its memory's speed, which is what they wait for.
        scaling_config=ray.train.ScalingConfig(
            num_workers=num_workers,
            use_gpu=has_gpus,
            resources_per_worker={"CPU": num_cores},
            placement_strategy="SPREAD",
        ),
        run_config=ray.train.RunConfig(name="ray", storage_path=folder),
    ).fit()


def _begin(work: Work, config: dict[str, Any]) -> None:
    work(config, RayTrainGroup())
