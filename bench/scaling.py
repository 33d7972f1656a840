"""How long an epoch would take on more cores than there are here, computed from what bench/distributed.py measured.

docs/scaling.md derives the formulas; each is one function here.
"""

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.distributed import ALONE, RAY_2, RAY_4, RESULTS

NUM_IMAGES = 2_400_000
CORES = (8, 16, 32, 64, 128, 256, 512)
BANDWIDTHS_GBIT = (1, 10, 25)
BUCKET_BYTES = 25 * 2**20  # of DistributedDataParallel
ENOUGH = 0.8  # an efficiency below this is called the end of scaling


@dataclass(frozen=True)
class Measured:
    """One worker of one thread, beside as many as there are cores; seconds."""

    forward_s: float  # per image
    backward_s: float  # per image
    data_s: float  # per image
    rest_s: float  # per step: clipping and the optimizer do not depend on the images
    deviation: float  # of forward and backward between workers in the same step, as a fraction of them
    exchange_s: float  # per step between two workers through this machine's memory, without waiting for each other
    gradient_bytes: int
    image_bytes: float
    writing_s: float  # per image, of Spark's Python, once for a training


@dataclass(frozen=True)
class Cluster:
    """Machines in one network."""

    num_workers: int
    bandwidth: float  # bytes/s of a machine's interface, either way
    latency_s: float  # of a message between neighbours
    workers_per_machine: int


def read(results: dict[str, Any]) -> Measured:
    """What the model needs of a run of bench/distributed.py."""
    row = results["ways"][RAY_2.name]
    step, per_worker = row["step_s"], results["batch_size"] / RAY_2.num_workers
    return Measured(
        step["forward"] / per_worker,
        step["backward"] / per_worker,
        step["data"] / per_worker,
        step["rest"],
        row["compute_deviation_s"] / (step["forward"] + step["backward"]),
        max(0.0, step["exchange"] - row["meeting_s"]),
        results["gradient_bytes"],
        results["image_bytes"],
        results["writing_s_per_image"],
    )


def ring_s(num_bytes: float, cluster: Cluster) -> float:
    """A ring all-reduce: each worker sends 2 (N - 1) / N of the bytes, in 2 (N - 1) messages for each bucket."""
    if cluster.num_workers == 1:
        return 0.0
    turns = 2 * (cluster.num_workers - 1)
    num_buckets = math.ceil(num_bytes / BUCKET_BYTES)
    # Ranks of one machine follow one another in the ring, so an interface carries one stream each way.
    return turns / cluster.num_workers * num_bytes / cluster.bandwidth + turns * num_buckets * cluster.latency_s


def exposed_s(measured: Measured, per_worker: float, cluster: Cluster) -> float:
    """What of the exchange backward() does not hide: all that is longer than it, and the last bucket in any case."""
    total = ring_s(measured.gradient_bytes, cluster)
    num_buckets = math.ceil(measured.gradient_bytes / BUCKET_BYTES)
    hidden = measured.backward_s * per_worker * (num_buckets - 1) / num_buckets
    return max(total - hidden, total / num_buckets)


def copying_s(measured: Measured, num_workers: int) -> float:
    """A core's own part in the exchange: copies and sums, as much for N workers as 2 (N - 1) / N of that for two."""
    return measured.exchange_s * 2 * (num_workers - 1) / num_workers


def straggling_s(measured: Measured, per_worker: float, num_workers: int) -> float:
    """By how much the slowest of N is later than the mean, were their times normal and independent (Blom, 1958)."""
    if num_workers == 1:
        return 0.0
    late = NormalDist().inv_cdf((num_workers - 0.375) / (num_workers + 0.25))
    return late * measured.deviation * per_worker * (measured.forward_s + measured.backward_s)


def images_s(measured: Measured, per_worker: float, cluster: Cluster) -> float:
    """The wire's time for a step's images, which lie anywhere; fetched ahead, it adds to that of gradients."""
    return per_worker * cluster.workers_per_machine * measured.image_bytes / cluster.bandwidth


def step_s(measured: Measured, per_worker: float, cluster: Cluster) -> float:
    """A step of `per_worker` images for each worker."""
    own = per_worker * (measured.forward_s + measured.backward_s + measured.data_s) + measured.rest_s
    late = straggling_s(measured, per_worker, cluster.num_workers) + copying_s(measured, cluster.num_workers)
    wire = exposed_s(measured, per_worker, cluster) if cluster.num_workers > cluster.workers_per_machine else 0.0
    return own + late + wire + max(0.0, images_s(measured, per_worker, cluster) - own)


def efficiency(measured: Measured, per_worker: float, cluster: Cluster) -> float:
    """Speed of a worker as a fraction of that of one alone with 64 images a step."""
    alone = Cluster(1, cluster.bandwidth, cluster.latency_s, 1)
    return (step_s(measured, 64, alone) / 64) / (step_s(measured, per_worker, cluster) / per_worker)


def show_epochs(
    measured: Measured,
    per_worker_by_cores: dict[int, float],
    title: str,
    latency_s: float,
    per_machine: int,
    console: Console,
) -> None:
    """Time of an epoch by cores and bandwidth, with the efficiency of each."""
    table = Table("cores", "images a step", *(f"{gbit} Gbit/s" for gbit in BANDWIDTHS_GBIT), title=title)
    for cores, per_worker in per_worker_by_cores.items():
        cells = []
        for gbit in BANDWIDTHS_GBIT:
            cluster = Cluster(cores, gbit * 1e9 / 8, latency_s, min(cores, per_machine))
            seconds = NUM_IMAGES / (per_worker * cores) * step_s(measured, per_worker, cluster)
            worth = efficiency(measured, per_worker, cluster)
            cells.append(f"{seconds / 60:,.1f} min, {worth:.2f}{'' if worth >= ENOUGH else ' !'}")
        table.add_row(str(cores), f"{per_worker * cores:,.0f}", *cells)
    console.print(table)


def show_check(measured: Measured, results: dict[str, Any], console: Console) -> None:
    """The model beside what was measured here, where workers share cores and no network is in between."""
    table = Table("here", "step by the model ms", "measured ms", "model / measured")
    for way in (ALONE, RAY_2, RAY_4):
        if way.name not in results["ways"]:
            continue
        per_worker = results["batch_size"] / way.num_workers
        crowd = max(1.0, way.num_workers * way.threads / results["num_cores"])  # workers that take turns at a core
        own = per_worker * (measured.forward_s + measured.backward_s + measured.data_s) / way.threads + measured.rest_s
        late = straggling_s(measured, per_worker, way.num_workers) + copying_s(measured, way.num_workers)
        by_model, seen = crowd * (own + late), results["ways"][way.name]["step_s"]["total"]
        table.add_row(way.name, f"{1000 * by_model:.0f}", f"{1000 * seen:.0f}", f"{by_model / seen:.2f}")
    console.print(table)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--per-worker", type=int, default=64, help="images per step and worker (default: %(default)s)")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=2048,
        help="images per step of the second table, whatever the number of workers (default: %(default)s)",
    )
    parser.add_argument("--latency-us", type=float, default=50, help="of a message, in us (default: %(default)s)")
    parser.add_argument("--per-machine", type=int, default=16, help="cores of a machine (default: %(default)s)")
    arguments = parser.parse_args()
    if not arguments.results.is_file():
        sys.exit(f"{arguments.results} is not there: run `make bench-distributed` first")
    results = json.loads(arguments.results.read_text())
    measured, console = read(results), Console(width=120)
    show_check(measured, results, console)
    latency_s = arguments.latency_us / 1e6
    growing = dict.fromkeys(CORES, float(arguments.per_worker))
    show_epochs(
        measured,
        growing,
        f"{NUM_IMAGES:,} images once, {arguments.per_worker} per step and worker",
        latency_s,
        arguments.per_machine,
        console,
    )
    fixed = {cores: arguments.batch_size / cores for cores in CORES}
    show_epochs(
        measured,
        fixed,
        f"{NUM_IMAGES:,} images once, {arguments.batch_size:,} per step in all",
        latency_s,
        arguments.per_machine,
        console,
    )
    writing = [f"{cores}: {NUM_IMAGES * measured.writing_s / cores / 60:.1f} min" for cores in CORES]
    console.print(f"Before the first epoch, captions written as tokens on so many cores: {', '.join(writing)}")
    console.print(f"! = below {ENOUGH} of the speed per core of one worker alone")


if __name__ == "__main__":
    main()
