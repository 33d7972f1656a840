"""Images/s of one process with two threads, two Ray workers and two Horovod workers, and where each step's time goes.

All learn the same steps, made of the same images, in turns.
"""

import argparse
import importlib.util
import json
import math
import os
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean, median, variance
from typing import Any

import ray
import torch
from rich.console import Console
from rich.table import Table
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn.parallel import DistributedDataParallel

from bench.lakeless_settings import lakeless_settings
from bench.step_clock import PHASES, StepClock
from bench.training_table import training_table
from bench.turns import Report, Turns, all_alive, my_turns
from lib.captions.notations import notation_named
from lib.settings import Settings
from lib.training.distributed_training import batches_of_epoch
from lib.training.horovod_training import run_on_horovod
from lib.training.ray_cluster import ray_cluster
from lib.training.row_blocks import row_blocks
from lib.training.worker_group import WorkerGroup, run_on_ray_train
from model.captioner import Captioner, Explaining
from model.checkpoint import PRETRAINED, load_captioner
from model.config import CaptionerConfig, TrainingConfig
from model.training_loop import TrainingState, ignore_step, make_optimizer, train_epoch
from model.workers import Worker, over_all_workers

RESULTS = Path(__file__).parent / "results" / "distributed.json"
ROWS_PER_BLOCK = 256
NUM_STEPS = 10**6  # of a training that is never finished: its learning rate stays as it is


@dataclass(frozen=True)
class Way:
    """A way of training."""

    name: str
    runs_on: str  # alone, ray or horovod
    num_workers: int
    threads: int
    variant: str = ""  # what is not as usual


ALONE = Way("one process, two threads", "alone", 1, 2)
RAY_2 = Way("two Ray workers", "ray", 2, 1)
HOROVOD_2 = Way("two Horovod workers", "horovod", 2, 1)
RAY_4 = Way("four Ray workers", "ray", 4, 1)
VARIANTS = tuple(
    replace(RAY_2, name=f"two Ray workers, {variant}", variant=variant)
    for variant in ("pinned", "bf16 gradients", "one bucket")
)


class AloneGroup:
    """A process that trains by itself, with whatever Ray is up."""

    rank, local_rank, num_workers = 0, 0, 1

    def wrap(self, captioner: Captioner) -> torch.nn.Module:
        return Explaining(captioner)


def measure_worker(config: dict[str, Any], group: WorkerGroup) -> None:
    """What every worker runs: an epoch whenever it is its turn."""
    way, turns, rows = config["way"], config["turns"], ray.get(config["rows"])
    training, captioner_config = TrainingConfig(**config["training"]), CaptionerConfig(**config["captioner"])
    notation = notation_named(config["notation"])
    torch.set_num_threads(way.threads)
    if way.variant == "pinned":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[group.rank % len(cores)]})
    torch.manual_seed(training.seed)
    captioner = load_captioner(PRETRAINED / "molecules")[0]
    optimizer, model = make_optimizer(captioner, training), _shared(captioner, group, way.variant)
    for turn in my_turns(turns, way.name):
        clock, state = StepClock(model), TrainingState(epoch=turn)
        batches = batches_of_epoch(
            rows, captioner_config, notation, training, state, Worker(group.rank, group.num_workers)
        )
        over_all_workers(torch.zeros(1), "max")  # all begin together
        began = time.perf_counter()
        with clock.watching():
            train_epoch(model, clock.timed(batches), optimizer, training, state, NUM_STEPS, ignore_step)
        report = {"seconds": time.perf_counter() - began, "steps": clock.steps, "meeting_s": clock.meeting_s}
        ray.get(turns.report.remote(way.name, turn, report))


def _shared(captioner: Captioner, group: WorkerGroup, variant: str) -> torch.nn.Module:
    if variant == "one bucket":
        return DistributedDataParallel(Explaining(captioner), bucket_cap_mb=1000)
    model: Any = group.wrap(captioner)
    if variant == "bf16 gradients":
        model.register_comm_hook(None, default_hooks.bf16_compress_hook)
    return model


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]  # Ray comes without types
def start(way: Way, config: dict[str, Any], folder: str) -> None:
    """Start the workers and wait until they end."""
    config = config | {"way": way}
    if way.runs_on == "alone":
        measure_worker(config, AloneGroup())
    elif way.runs_on == "ray":
        run_on_ray_train(measure_worker, config, way.num_workers, 1, f"{folder}/{way.name}")
    else:
        os.environ["HOROVOD_GLOO_TIMEOUT_SECONDS"] = "3600"  # workers that wait for their turn are not lost
        run_on_horovod(measure_worker, config, way.num_workers, 1)


def measure(settings: Settings, ways: list[Way], num_rounds: int, num_steps: int, console: Console) -> dict[str, Any]:
    """Every figure of this bench."""
    captioner, vocabulary, _ = load_captioner(PRETRAINED / "molecules")
    training = replace(settings.training, max_train_seconds=None)
    table = training_table(settings, vocabulary, num_steps * training.batch_size)
    num_images = table.rows.num_rows
    rounds: dict[str, list[list[Report]]] = {way.name: [] for way in ways}
    cluster = settings.cluster.model_copy(update={"num_workers": sum(way.num_workers for way in ways)})
    with tempfile.TemporaryDirectory() as folder, ray_cluster(cluster):
        blocks = [ray.put(table.rows.slice(at, ROWS_PER_BLOCK)) for at in range(0, num_images, ROWS_PER_BLOCK)]
        turns = Turns.remote()  # type: ignore[attr-defined]  # Ray comes without types
        config = {
            "turns": turns,
            "rows": ray.put(row_blocks(blocks)),
            "training": asdict(training),
            "captioner": asdict(settings.captioner),
            "notation": settings.captions.notation,
        }
        starts = {way.name: partial(start.remote, way, config, folder) for way in ways}
        with all_alive(turns, starts, {way.name: way.num_workers for way in ways}) as players:
            for turn in range(num_rounds + 1):  # the first warms up and does not count
                for way in ways:
                    reports = players.play(way.name, turn)
                    console.print(
                        f"{'warm-up' if turn == 0 else f'round {turn}'}: {way.name}, "
                        f"{_speed(reports, num_images):.1f} images/s"
                    )
                    rounds[way.name] += [reports] if turn else []
    measured = {way.name: _summary(way, rounds[way.name], num_images) for way in ways}
    return {
        "num_cores": os.cpu_count(),
        "num_images": num_images,
        "batch_size": training.batch_size,
        "num_rounds": num_rounds,
        "precision": training.precision,
        "gradient_bytes": sum(4 * one.numel() for one in captioner.parameters() if one.requires_grad),
        "image_bytes": table.rows.nbytes / num_images,
        "writing_s_per_image": table.writing_s,
        "efficiency_ray_2": _efficiency(measured, RAY_2),
        "efficiency_horovod_2": _efficiency(measured, HOROVOD_2),
        "efficiency_ray_4": _efficiency(measured, RAY_4),
        "efficiency_of_variants": {way.variant: _efficiency(measured, way) for way in ways if way.variant},
        "ways": measured,
    }


def _speed(reports: list[Report], num_images: int) -> float:
    return num_images / max(report["seconds"] for report in reports)


def _efficiency(measured: dict[str, Any], way: Way) -> float | None:
    """Speed as a fraction of one process's, round by round; the median."""
    if way.name not in measured or ALONE.name not in measured:
        return None
    pairs = zip(*(measured[name]["images_per_second"] for name in (way.name, ALONE.name)), strict=True)
    return median(own / alone for own, alone in pairs)


def _summary(way: Way, rounds: list[list[Report]], num_images: int) -> dict[str, Any]:
    """Speed of each round, and the seconds of a step by phase: means over workers and rounds, without first steps."""
    workers = [report for reports in rounds for report in reports]
    steps = [step for report in workers for step in report["steps"][1:]]
    phases = {phase: mean(step[phase] for step in steps) for phase in PHASES}
    return {
        "num_workers": way.num_workers,
        "threads": way.threads,
        "images_per_second": [_speed(reports, num_images) for reports in rounds],
        "step_s": phases | {"total": sum(phases.values())},
        "meeting_s": mean(report["meeting_s"] / len(report["steps"]) for report in workers),
        "compute_deviation_s": _deviation(rounds),
        "first_batch_s": mean(report["steps"][0]["data"] for report in workers),
    }


def _deviation(rounds: list[list[Report]]) -> float:
    """By how much workers differ in what the same step's forward and backward take; they have images of like size."""
    steps = [same for reports in rounds for same in zip(*(report["steps"][1:] for report in reports), strict=True)]
    if len(steps[0]) == 1:
        return 0.0
    return math.sqrt(mean(variance(step["forward"] + step["backward"] for step in same) for same in steps))


def show(results: dict[str, Any], console: Console) -> None:
    """Print the figures as tables."""
    table = Table("", "images/s", *(f"{phase} ms" for phase in PHASES), "step ms", "first batch ms")
    for name, row in results["ways"].items():
        times = [1000 * row["step_s"][phase] for phase in (*PHASES, "total")] + [1000 * row["first_batch_s"]]
        table.add_row(name, f"{median(row['images_per_second']):.1f}", *(f"{time_ms:.0f}" for time_ms in times))
    console.print(table)
    known = {name: results[name] for name in ("efficiency_ray_2", "efficiency_horovod_2", "efficiency_ray_4")}
    for name, value in (known | results["efficiency_of_variants"]).items():
        console.print(f"{name}: {'not measured' if value is None else f'{value:.3f}'}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each that count (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="steps of a turn (default: %(default)s)")
    parser.add_argument("--without-four", action="store_true", help="leave out the four workers, which are slow")
    parser.add_argument(
        "--variants",
        action="store_true",
        help="two Ray workers also pinned to cores, with gradients in bf16, and in one bucket",
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    console = Console(width=120)
    ways = [ALONE, RAY_2, HOROVOD_2]
    if importlib.util.find_spec("horovod") is None:
        console.print("Horovod is not installed (make horovod): its workers are left out")
        ways.remove(HOROVOD_2)
    ways += ([] if arguments.without_four else [RAY_4]) + list(VARIANTS if arguments.variants else ())
    settings = lakeless_settings(arguments.overrides)
    results = measure(settings, ways, arguments.rounds, arguments.steps, console)
    show(results, console)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
