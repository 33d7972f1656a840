"""The loop of model/ on Horovod's workers instead of Ray Train's. Horovod is an extra: only what runs imports it."""

import importlib.util
import os
from functools import partial
from typing import Any

import ray
import torch
from torch import Tensor, nn

from lib.errors import RuntimeMissingError
from lib.training.worker_group import Work
from model.captioner import Captioner, Explaining
from model.workers import Operation, connect

MEET_WITHIN_S = 120
CYCLE_MS = "10"  # between talks of the workers about what to exchange; Horovod's own 1 ms takes time from the cores
PLACE_WITHIN_S = 100


def require_horovod() -> None:
    """Raise RuntimeMissingError, which says how to get it, unless Horovod is installed and fits torch."""
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


def run_on_horovod(work: Work, config: dict[str, Any], num_workers: int, num_cores: int) -> None:
    """Run `work` on so many workers of so many cores until all are done.

    Horovod is tuned by environment variables of its own name: the workers get those of this process.
    """
    from horovod.ray import RayExecutor

    settings = RayExecutor.create_settings(timeout_s=MEET_WITHIN_S, placement_group_timeout_s=PLACE_WITHIN_S)
    num_nodes = _num_nodes(num_workers, num_cores)
    spread = {"num_hosts": num_nodes, "num_workers_per_host": num_workers // num_nodes}
    workers = spread if num_nodes > 1 else {"num_workers": num_workers}
    executor = RayExecutor(settings, cpus_per_worker=num_cores, use_gpu=False, **workers)
    given = {name: value for name, value in os.environ.items() if name.startswith("HOROVOD_")}
    executor.start(extra_env_vars={"HOROVOD_CYCLE_TIME": CYCLE_MS} | given)
    try:
        executor.run(partial(_begin, work), args=[config])
    finally:
        executor.shutdown()


def _num_nodes(num_workers: int, num_cores: int) -> int:
    """Over how many nodes the workers can be spread evenly: Horovod knows no other way of spreading them."""
    roomy = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= num_cores]
    return max(count for count in range(1, max(1, len(roomy)) + 1) if num_workers % count == 0)


def _begin(work: Work, config: dict[str, Any]) -> None:
    import horovod.torch as hvd

    hvd.init()
    connect(_all_reduce)
    try:
        work(config, HorovodGroup())
    finally:
        connect(None)
        hvd.shutdown()


def _all_reduce(values: Tensor, operation: Operation) -> Tensor:
    import horovod.torch as hvd

    reduced: Tensor = hvd.allreduce(values, name=f"all.{operation}", op={"sum": hvd.Sum, "max": hvd.Max}[operation])
    return reduced


class HorovodGroup:
    """Workers that Horovod started and connects."""

    def __init__(self) -> None:
        import horovod.torch as hvd

        self.rank, self.local_rank, self.num_workers = int(hvd.rank()), int(hvd.local_rank()), int(hvd.size())

    def wrap(self, captioner: Captioner) -> nn.Module:
        explaining = Explaining(captioner)
        return HorovodParallel(explaining) if self.num_workers > 1 else explaining


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
