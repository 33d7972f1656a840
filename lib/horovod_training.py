"""The loop of model/ on Horovod's workers instead of Ray Train's. Horovod is an extra: only what runs imports it."""

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import ray
import torch
from ray.data import Dataset
from torch import Tensor, nn

from lib.errors import RuntimeMissingError
from lib.worker_group import WorkerGroup
from model.workers import Operation, connect

MEET_WITHIN_S = 120
PLACE_WITHIN_S = 100

TrainWorker = Callable[[dict[str, Any], WorkerGroup], None]


def require_horovod() -> None:
    """Raise RuntimeMissingError, which says how to get it, unless Horovod is installed and knows torch."""
    if importlib.util.find_spec("horovod") is None:
        raise RuntimeMissingError(
            "cluster.train_with is horovod, which is not installed: run `make horovod`, or set it to ray"
        )
    try:
        import horovod.torch  # noqa: F401
    except ImportError as error:
        raise RuntimeMissingError(
            f"cluster.train_with is horovod, which does not fit the torch installed ({error}): run `make horovod` again"
        ) from None


def train_on_horovod(
    train_worker: TrainWorker, config: dict[str, Any], datasets: dict[str, Dataset], num_workers: int, num_cores: int
) -> None:
    """Run train_worker on so many Horovod workers of so many cores, each with its share of the datasets."""
    from horovod.ray import RayExecutor

    settings = RayExecutor.create_settings(timeout_s=MEET_WITHIN_S, placement_group_timeout_s=PLACE_WITHIN_S)
    num_nodes = _num_nodes(num_workers, num_cores)
    workers = {"num_hosts": num_nodes, "num_workers_per_host": num_workers // num_nodes} if num_nodes > 1 else {
        "num_workers": num_workers
    }
    executor = RayExecutor(settings, cpus_per_worker=num_cores, use_gpu=False, **workers)
    executor.start()
    try:
        nodes = executor.run(_node_id)
        shares = {
            name: dataset.streaming_split(num_workers, equal=True, locality_hints=nodes)
            for name, dataset in datasets.items()
        }
        executor.run(partial(_run_worker, train_worker), args=[config, shares])
    finally:
        executor.shutdown()


def _num_nodes(num_workers: int, num_cores: int) -> int:
    """Over how many nodes the workers can be spread evenly: Horovod knows no other way of spreading them."""
    roomy = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= num_cores]
    return max(count for count in range(1, max(1, len(roomy)) + 1) if num_workers % count == 0)


def _node_id() -> str:
    return str(ray.get_runtime_context().get_node_id())


def _run_worker(train_worker: TrainWorker, config: dict[str, Any], shares: dict[str, list[Any]]) -> None:
    import horovod.torch as hvd

    hvd.init()
    connect(_all_reduce)
    try:
        train_worker(config, HorovodGroup({name: parts[hvd.rank()] for name, parts in shares.items()}))
    finally:
        connect(None)
        hvd.shutdown()


def _all_reduce(values: Tensor, operation: Operation) -> Tensor:
    import horovod.torch as hvd

    reduced: Tensor = hvd.allreduce(values, op={"sum": hvd.Sum, "max": hvd.Max}[operation], name=f"all.{operation}")
    return reduced


class HorovodGroup:
    """Workers that Horovod connects, each with its share of the rows by name of their split."""

    def __init__(self, shares: dict[str, Any]) -> None:
        self._shares = shares

    @property
    def rank(self) -> int:
        import horovod.torch as hvd

        return int(hvd.rank())

    def share(self, model: nn.Module) -> nn.Module:
        return HorovodParallel(model)

    def rows(self, split: str) -> Any:
        return self._shares[split]


class HorovodParallel(nn.Module):
    """What DistributedDataParallel is with torch.distributed: gradients are averages when backward() returns.

    Horovod's own DistributedOptimizer averages in its step(), too late for a loop that looks at gradients before.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        import horovod.torch as hvd

        self.module = module
        self._hvd = hvd
        self._sent: list[int] = []
        hvd.broadcast_parameters(module.state_dict(), root_rank=0)
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(partial(self._send, name))

    def forward(self, *inputs: Any, **named: Any) -> Any:
        if self.training:  # statistics of BatchNorm are the first worker's, as in DistributedDataParallel
            buffers = dict(self.module.named_buffers())
            for handle in [self._hvd.broadcast_async_(buffer, 0, name) for name, buffer in buffers.items()]:
                self._hvd.synchronize(handle)
        return self.module(*inputs, **named)

    def _send(self, name: str, parameter: Tensor) -> None:
        """Begin to average a gradient that is ready, while backward() goes on."""
        if not self._sent:
            torch.autograd.Variable._execution_engine.queue_callback(self._receive)  # type: ignore[attr-defined]
        self._sent.append(self._hvd.allreduce_async_(parameter.grad, name=name, op=self._hvd.Average))

    def _receive(self) -> None:
        """At the end of backward(): wait for all averages."""
        sent, self._sent = self._sent, []
        for handle in sent:
            self._hvd.synchronize(handle)
