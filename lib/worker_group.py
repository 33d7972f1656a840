"""What a training worker asks of whoever started it; Ray Train's answers stand here, Horovod's in horovod_training."""

from typing import Any, Protocol

import ray.train
import ray.train.torch
from torch import nn


class WorkerGroup(Protocol):
    """The workers of one training, as one of them sees them."""

    @property
    def rank(self) -> int:
        """Which of the workers this one is, from 0."""

    def share(self, model: nn.Module) -> nn.Module:
        """The model on this worker's device, with gradients that are averages over all workers after backward()."""

    def rows(self, split: str) -> Any:
        """This worker's rows of a split, as a ray.data.DataIterator."""


class RayTrainGroup:
    """Workers that Ray Train started."""

    @property
    def rank(self) -> int:
        return int(ray.train.get_context().get_world_rank())

    def share(self, model: nn.Module) -> nn.Module:
        shared: nn.Module = ray.train.torch.prepare_model(model)
        return shared

    def rows(self, split: str) -> Any:
        return ray.train.get_dataset_shard(split)
