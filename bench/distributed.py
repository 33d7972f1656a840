"""Images/s of one process with two threads, two Ray workers and two Horovod workers, and where each step's time goes.

All learn the same steps, made of the same pictures, in turns: a few steps of the first, of the second and so on, many
times over, so that what else the machine does meets all alike. Who is not on is stopped.
"""

import argparse
import importlib.util
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, median, pstdev
from typing import Any

import ray
import ray.train
import torch
from rich.console import Console
from rich.table import Table
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn.parallel import DistributedDataParallel

from bench.step_clock import PHASES, StepClock
from bench.training_table import training_table
from lib.horovod_training import train_on_horovod
from lib.ray_cluster import ray_cluster
from lib.row_blocks import RowBlocks, row_blocks, shares_of_epoch
from lib.settings import Settings, load_settings
from lib.training_samples import as_sample
from lib.worker_group import AloneGroup, WorkerGroup, train_on_ray_train
from model.batches import Batch, collate
from model.captioner import CaptionerConfig
from model.checkpoint import PRETRAINED, load_captioner
from model.training_loop import TrainingConfig, TrainingState, make_optimizer, train_epoch

RESULTS = Path(__file__).parent / "results" / "distributed.json"
ROWS_PER_BLOCK = 256
START_WITHIN_S = 180.0
TURN_WITHIN_S = 240.0


@dataclass(frozen=True)
class Mode:
    """A way of training."""

    name: str
    runs_on: str  # alone, ray or horovod
    num_workers: int
    threads: int
    variant: str = ""  # what else than usual: pinned, bf16 gradients, one bucket


MODES = (
    Mode("one process, two threads", "alone", 1, 2),
    Mode("two Ray workers", "ray", 2, 1),
    Mode("two Horovod workers", "horovod", 2, 1),
    Mode("four Ray workers", "ray", 4, 1),
)
VARIANTS = tuple(Mode(f"two Ray workers, {variant}", "ray", 2, 1, variant)
                 for variant in ("pinned", "bf16 gradients", "one bucket"))


@ray.remote(num_cpus=0)
class Turns:
    """Says whose turn it is, and collects what was measured."""

    def __init__(self) -> None:
        self._on: tuple[str, int] | None = None
        self._is_over = False
        self._ready: dict[str, list[int]] = {}
        self._measured: dict[tuple[str, int], list[dict[str, Any]]] = {}

    def ready(self, mode: str, process: int) -> None:
        self._ready.setdefault(mode, []).append(process)

    def processes(self, mode: str) -> list[int]:
        return self._ready.get(mode, [])

    def open(self, mode: str, turn: int) -> None:
        self._on = (mode, turn)

    def end(self) -> None:
        self._is_over = True

    def is_on(self, mode: str, turn: int) -> bool | None:
        """None when all is over."""
        return None if self._is_over else self._on == (mode, turn)

    def report(self, mode: str, turn: int, measured: dict[str, Any]) -> None:
        self._measured.setdefault((mode, turn), []).append(measured)

    def measured(self, mode: str, turn: int) -> list[dict[str, Any]]:
        return self._measured.get((mode, turn), [])


def measure_worker(config: dict[str, Any], group: WorkerGroup) -> None:
    """What every worker of every mode runs: an epoch whenever it is its turn."""
    mode, turns, rows = config["mode"], config["turns"], ray.get(config["rows"])
    training, captioner_config = TrainingConfig(**config["training"]), CaptionerConfig(**config["captioner"])
    torch.set_num_threads(mode.threads)
    if mode.variant == "pinned":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[group.rank % len(cores)]})
    torch.manual_seed(training.seed)
    captioner = load_captioner(PRETRAINED / "molecules")[0]
    optimizer = make_optimizer(captioner, training)
    model = _shared(captioner, group, mode.variant)
    ray.get(turns.ready.remote(mode.name, os.getpid()))
    for turn in range(config["num_turns"]):
        while not (is_on := ray.get(turns.is_on.remote(mode.name, turn))):
            if is_on is None:
                return
            time.sleep(0.05)
        clock, state = StepClock(model), TrainingState(epoch=turn)
        batches = _batches(rows, training, captioner_config, turn, group)
        began = time.perf_counter()
        with clock.watching():
            train_epoch(model, clock.timed(batches), optimizer, training, state, 10**6, lambda report: None)
        measured = {"seconds": time.perf_counter() - began, "steps": clock.steps, "meeting_s": clock.meeting_s}
        ray.get(turns.report.remote(mode.name, turn, measured))


def _shared(captioner: torch.nn.Module, group: WorkerGroup, variant: str) -> torch.nn.Module:
    if variant == "one bucket":
        return DistributedDataParallel(captioner, bucket_cap_mb=1000)
    model = group.share(captioner)
    if variant == "bf16 gradients":
        model.register_comm_hook(None, default_hooks.bf16_compress_hook)  # type: ignore[operator]
    return model


def _batches(
    rows: RowBlocks, training: TrainingConfig, captioner: CaptionerConfig, epoch: int, group: WorkerGroup
) -> Iterator[Batch]:
    for share, weight in shares_of_epoch(rows, training, epoch, 0, group.rank, group.num_workers):
        batch = collate([as_sample(row, captioner) for row in share], captioner.num_channels)
        yield replace(batch, weight=weight)


@ray.remote(num_cpus=1)
def _measure_alone(config: dict[str, Any]) -> None:
    measure_worker(config, AloneGroup())


def start(mode: Mode, config: dict[str, Any], folder: str) -> None:
    """Start the workers of a mode and wait until they end."""
    config = config | {"mode": mode}
    if mode.runs_on == "alone":
        ray.get(_measure_alone.remote(config))
    elif mode.runs_on == "ray":
        train_on_ray_train(measure_worker, config, mode.num_workers, 1, folder)
    else:
        train_on_horovod(measure_worker, config, mode.num_workers, 1)


def measure(settings: Settings, modes: list[Mode], num_rounds: int, num_steps: int, console: Console) -> dict[str, Any]:
    """Every figure of this bench."""
    captioner, vocabulary, _ = load_captioner(PRETRAINED / "molecules")
    training = replace(settings.training, num_epochs=10**6, max_train_seconds=None)
    table, writing_s = training_table(settings, vocabulary, num_steps * training.batch_size)
    num_gradient_bytes = sum(4 * weights.numel() for weights in captioner.parameters() if weights.requires_grad)
    measured: dict[str, list[list[dict[str, Any]]]] = {mode.name: [] for mode in modes}
    slots = settings.cluster.model_copy(update={"num_workers": sum(mode.num_workers for mode in modes)})
    with tempfile.TemporaryDirectory() as folder, ray_cluster(slots), ThreadPoolExecutor(len(modes)) as pool:
        blocks = [ray.put(table.slice(at, ROWS_PER_BLOCK)) for at in range(0, table.num_rows, ROWS_PER_BLOCK)]
        turns = Turns.remote()
        config = {
            "turns": turns, "rows": ray.put(row_blocks(blocks)), "training": asdict(training),
            "captioner": asdict(settings.captioner), "num_turns": num_rounds + 1,
        }
        running: list[Future[None]] = []
        processes: dict[str, list[int]] = {}
        try:
            for mode in modes:
                running.append(pool.submit(start, mode, config, folder))
                processes[mode.name] = _wait_for(
                    lambda name=mode.name: ray.get(turns.processes.remote(name)), mode.num_workers, running,
                    START_WITHIN_S,
                )
                _signal(processes[mode.name], signal.SIGSTOP)
            for turn in range(num_rounds + 1):  # the first warms up and does not count
                for mode in modes:
                    _signal(processes[mode.name], signal.SIGCONT)
                    ray.get(turns.open.remote(mode.name, turn))
                    reports = _wait_for(
                        lambda name=mode.name, turn=turn: ray.get(turns.measured.remote(name, turn)),
                        mode.num_workers, running, TURN_WITHIN_S,
                    )
                    _signal(processes[mode.name], signal.SIGSTOP)
                    speed = table.num_rows / max(report["seconds"] for report in reports)
                    console.print(f"{'warm-up' if turn == 0 else f'round {turn}'}: {mode.name}, {speed:.1f} images/s")
                    if turn:
                        measured[mode.name].append(reports)
        finally:
            ray.get(turns.end.remote())
            _signal([process for some in processes.values() for process in some], signal.SIGCONT)
        for future in running:
            future.result()
    results = {mode.name: _summary(mode, measured[mode.name], table.num_rows) for mode in modes}
    alone = results[MODES[0].name]["images_per_second"]

    def efficiency(mode: Mode) -> float | None:
        if mode.name not in results:
            return None
        return median(own / other for own, other in zip(results[mode.name]["images_per_second"], alone, strict=True))

    return {
        "num_pictures": table.num_rows, "batch_size": training.batch_size, "num_rounds": num_rounds,
        "num_cores": os.cpu_count(), "precision": training.precision, "gradient_bytes": num_gradient_bytes,
        "picture_bytes": table.nbytes / table.num_rows, "writing_s_per_picture": writing_s,
        "efficiency_ray_2": efficiency(MODES[1]), "efficiency_horovod_2": efficiency(MODES[2]),
        "efficiency_ray_4": efficiency(MODES[3]),
        "efficiency_of_variants": {mode.variant: efficiency(mode) for mode in VARIANTS if mode.name in results},
        "modes": results,
    }


def _summary(mode: Mode, rounds: list[list[dict[str, Any]]], num_pictures: int) -> dict[str, Any]:
    """Speed of each round, and the seconds of a step by phase, means over workers and rounds, without first steps."""
    workers = [report for reports in rounds for report in reports]
    steps = [step for report in workers for step in report["steps"][1:]]
    compute = [step["forward"] + step["backward"] for step in steps]
    phases = {phase: mean(step[phase] for step in steps) for phase in PHASES}
    return {
        "num_workers": mode.num_workers, "threads": mode.threads,
        "images_per_second": [num_pictures / max(report["seconds"] for report in reports) for reports in rounds],
        "step_s": phases | {"total": sum(phases.values())},
        "meeting_s": mean(report["meeting_s"] / len(report["steps"]) for report in workers),
        "compute_deviation_s": pstdev(compute),
        "first_batch_s": mean(report["steps"][0]["data"] for report in workers),
    }


def _wait_for(
    ask: Callable[[], list[Any]], count: int, running: list[Future[None]], within_s: float
) -> list[Any]:
    """What `ask` answers once that is so much. Raises what ended a mode before its time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        answers = ask()
        if len(answers) >= count:
            return answers
        for future in running:
            if future.done():
                future.result()
        time.sleep(0.05)
    raise TimeoutError(f"a mode did not answer within {within_s:.0f} s")


def _signal(processes: list[int], what: signal.Signals) -> None:
    for process in processes:
        os.kill(process, what)


def show(results: dict[str, Any], console: Console) -> None:
    """Print the figures as tables."""
    table = Table("", "images/s", *(f"{phase} ms" for phase in PHASES), "step ms", "first batch ms")
    for name, row in results["modes"].items():
        table.add_row(
            name, f"{median(row['images_per_second']):.1f}", *(f"{1000 * row['step_s'][phase]:.0f}" for phase in PHASES),
            f"{1000 * row['step_s']['total']:.0f}", f"{1000 * row['first_batch_s']:.0f}",
        )
    console.print(table)
    for name in ("efficiency_ray_2", "efficiency_horovod_2", "efficiency_ray_4"):
        value = results[name]
        console.print(f"{name}: {'not measured' if value is None else f'{value:.3f}'}")
    for variant, value in results["efficiency_of_variants"].items():
        console.print(f"two Ray workers, {variant}: {value:.3f}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="times that each gets its turn (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="steps of a turn (default: %(default)s)")
    parser.add_argument("--variants", action="store_true", help="two Ray workers also pinned, with gradients in bf16 "
                                                                "and with all gradients in one bucket")
    parser.add_argument("--without", action="append", default=[], help="leave out the mode of that name")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    console = Console()
    modes = [mode for mode in (*MODES, *(VARIANTS if arguments.variants else ())) if mode.name not in arguments.without]
    if importlib.util.find_spec("horovod") is None:
        console.print("Horovod is not installed (make horovod): its workers are left out")
        modes = [mode for mode in modes if mode.runs_on != "horovod"]
    settings = load_settings("molecules", "local", ["landing.path=unused", "storage.root=unused", *arguments.overrides])
    results = measure(settings, modes, arguments.rounds, arguments.steps, console)
    show(results, console)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
