"""What befalls a job (a kill, a second run at once, a bad disk), and its tables compared with those of a calm run."""

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench.killed_jobs import Ended, RunningJob, run_job
from bench.lake_comparison import Differences, compare_lakes, make_old, unnamed_files
from bench.small_disks import small_disk

REFUSED = 2  # exit status of a job that ends in a sentence
ROOM_BYTES = 2**28
OVERRIDES = (
    "spark.driver_memory=2g",
    "prediction.num_beams=1",
    "prediction.scales=[1.0]",
    "prediction.sure_from=0",
    "prediction.is_redrawn=false",
    "training.start_from=null",
    "training.num_epochs=2",
    "training.batch_size=16",
    "training.checkpoint_interval_steps=2",
    "training.log_interval_steps=1",
    "captioner.grid_width=32",
    "captioner.width=32",
    "captioner.embedding_width=16",
    "captioner.num_attention_heads=2",
)


@dataclass
class Outcome:
    """One job under one kind of fault; numbers are totals over its runs.

    `leftovers` are files that no table names and that maintain_tables does not remove. `tracebacks` are runs that
    failed without a sentence for people. `failed` are runs after the fault that failed.
    """

    job: str
    variant: str
    duration_s: float
    runs: int = 0
    kills: int = 0
    lost: int = 0
    doubled: int = 0
    different: int = 0
    leftovers: int = 0
    failed: int = 0
    tracebacks: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.different or self.leftovers or self.failed or self.tracebacks)

    def add(self, differences: Differences) -> None:
        self.lost += differences.lost
        self.doubled += differences.doubled
        self.different += differences.different


@dataclass(frozen=True)
class Stage:
    """A job with the lake before it, and the settings that it is run with."""

    job: str
    before: Path
    landing: Path
    settings: tuple[str, ...]
    work: Path

    def overrides(self, lake: Path) -> list[str]:
        # Runs with the pretrained model make neither a vocabulary nor a model.
        model = "pretrained" if self.job in ("predict_captions", "evaluate_captions") else "current"
        return [
            *OVERRIDES,
            f"prediction.model_version={model}",
            *self.settings,
            f"landing.path={self.landing}",
            f"storage.root={lake}",
        ]

    def copy(self, name: str) -> Path:
        """A lake of one's own, as it was before the job."""
        lake = self.work / name
        shutil.copytree(self.before, lake, dirs_exist_ok=True)
        return lake

    @cached_property
    def undisturbed(self) -> tuple[Path, float]:
        """The lake after a run that nothing disturbed, and how many seconds that took."""
        lake = self.copy("undisturbed")
        ended = run_job(self.job, self.overrides(lake))
        if ended.status:
            raise RuntimeError(f"{self.job} failed undisturbed: {ended.said[-2000:]}")
        return lake, ended.seconds

    def settle(self, lake: Path, outcome: Outcome) -> None:
        """Run the job again after a fault and compare."""
        again = run_job(self.job, self.overrides(lake))
        if again.status:
            outcome.failed += 1
            outcome.said.append(last_line(again))
        outcome.add(compare_lakes(lake, self.undisturbed[0]))

    def leftovers(self, lake: Path) -> set[str]:
        return unnamed_files(lake) - unnamed_files(self.undisturbed[0])

    def left_after_upkeep(self, lake: Path) -> int:
        """Files left over after maintain_tables, run as if the fault had been long ago."""
        make_old(lake)
        ended = run_job("maintain_tables", self.overrides(lake))
        if ended.status:
            raise RuntimeError(f"maintain_tables failed: {ended.said[-2000:]}")
        return len(self.leftovers(lake))


def killed(stage: Stage, variant: str, num_seeds: int) -> Outcome:
    """Killed `num_seeds` times, once in each of as many equal parts of its duration; the fullest lake gets upkeep."""
    duration = stage.undisturbed[1]
    outcome = Outcome(stage.job, variant, round(duration, 1))
    lots = random.Random(f"{stage.job} {variant}")
    fullest, most_left = stage.work / "none", -1
    for turn in range(num_seeds):
        lake = stage.copy(f"killed-{turn}")
        job = RunningJob(stage.job, stage.overrides(lake))
        outcome.kills += job.kill_at((turn + lots.random()) / num_seeds * duration).status < 0
        outcome.runs += 1
        stage.settle(lake, outcome)
        num_left = len(stage.leftovers(lake))
        fuller, emptier = (lake, fullest) if num_left > most_left else (fullest, lake)
        fullest, most_left = fuller, max(num_left, most_left)
        shutil.rmtree(emptier, ignore_errors=True)
    if most_left > 0:
        outcome.leftovers = stage.left_after_upkeep(fullest)
    shutil.rmtree(fullest, ignore_errors=True)
    return outcome


def two_at_once(stage: Stage) -> Outcome:
    """Two runs of the job on one lake; each may end in a sentence, and the next run completes what they left."""
    outcome = Outcome(stage.job, "two_at_once", round(stage.undisturbed[1], 1), runs=2)
    lake = stage.copy("two")
    for ended in [job.wait() for job in [RunningJob(stage.job, stage.overrides(lake)) for _ in range(2)]]:
        outcome.tracebacks += ended.status not in (0, REFUSED)
        if ended.status:
            outcome.said.append(last_line(ended))
    stage.settle(lake, outcome)
    outcome.leftovers = stage.left_after_upkeep(lake) if stage.leftovers(lake) else 0
    shutil.rmtree(lake)
    return outcome


def on_a_bad_disk(stage: Stage, variant: str, full_at: Sequence[float] = (0.2, 0.6)) -> Outcome:
    """On a disk with room for these fractions of what the job writes, or a read-only one; mended, the job runs."""
    outcome = Outcome(stage.job, variant, round(stage.undisturbed[1], 1))
    num_before, num_after = _num_bytes(stage.before), _num_bytes(stage.undisturbed[0])
    for fraction in full_at if variant == "full_disk" else full_at[:1]:
        with small_disk(stage.work / "disk", num_after + ROOM_BYTES) as disk:
            stage.copy("disk")
            is_full = variant == "full_disk"
            room = int(num_before + fraction * max(0, num_after - num_before))
            disk.remount(f"size={room}" if is_full else "ro")
            ended = run_job(stage.job, stage.overrides(disk.folder))
            outcome.runs += 1
            if ended.status:
                outcome.said.append(last_line(ended))
                outcome.tracebacks += ended.has_traceback or ended.status != REFUSED
            disk.remount(f"size={num_after + ROOM_BYTES}" if is_full else "rw")
            stage.settle(disk.folder, outcome)
    return outcome


def _num_bytes(folder: Path) -> int:
    """What the files take on a disk of pages of 4,096 bytes."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*"))


def last_line(ended: Ended) -> str:
    lines = [line.strip() for line in ended.said.splitlines() if line.strip()]
    return f"exit status {ended.status}: {lines[-1][:300] if lines else ''}"
