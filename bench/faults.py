"""What is lost or doubled when jobs are killed, run twice at once, or meet a full or a read-only disk.

`make bench-faults`: each job on drawings of molecules, killed with all its processes at instants spread over its
undisturbed duration, run again, and every table compared with that of an undisturbed run. Minutes a job. Exits with 1
if anything was lost, doubled, different or left over.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.hostile_files import hostile_files
from bench.hostile_outcomes import write_hostile_files, wrong_in_lake
from bench.job_faults import Outcome, Stage, killed, last_line, on_a_bad_disk, two_at_once
from bench.killed_jobs import run_job
from bench.small_disks import NoMountError
from lib.child_process import end_in_order_on_sigterm

RESULTS = Path(__file__).parent / "results" / "faults.json"
JOBS = (
    "ingest_images",
    "clean_images",
    "build_vocabulary",
    "train_captioner",
    "predict_captions",
    "evaluate_captions",
    "maintain_tables",
)
LONG_JOBS = ("train_captioner",)  # only if asked for
VARIANTS = ("killed", "changed_settings", "two_at_once", "full_disk", "read_only", "hostile_files")
CHANGED = {"clean_images": "cleaning.sharpen=0", "build_vocabulary": "captions.min_token_uses=2"}
COUNTS = ("runs", "kills", "lost", "doubled", "different", "leftovers", "failed", "tracebacks")


def stages(jobs: Sequence[str], num_drawings: int, work: Path, settings: Sequence[str] = ()) -> Iterator[Stage]:
    """Each of `jobs` with the lake that the jobs before it have left, drawn and run once for all."""
    landing, before = work / "landing", work / "empty"
    before.mkdir()
    ours = (f"landing.images_per_commit={max(1, num_drawings // 3)}", f"drawing.num_drawings={num_drawings}", *settings)
    drawn = run_job("draw_molecules", [*ours, f"landing.path={landing}", f"storage.root={before}"])
    if drawn.status:
        raise RuntimeError(f"draw_molecules failed: {drawn.said[-2000:]}")
    shutil.rmtree(before)
    before.mkdir()
    last = max(JOBS.index(job) for job in jobs)
    for job in [job for job in JOBS[: last + 1] if job in jobs or job not in LONG_JOBS]:
        stage = Stage(job, before, landing, ours, work / job)
        stage.work.mkdir()
        if job in jobs:
            yield stage
        before = stage.undisturbed[0]


def outcomes(stage: Stage, variants: Sequence[str], num_seeds: int) -> Iterator[Outcome]:
    """The stage under each of the faults that fit it."""
    if "killed" in variants:
        yield killed(stage, "killed", num_seeds)
    if "changed_settings" in variants and stage.job in CHANGED:
        work = stage.work / "changed"
        work.mkdir()
        after = Stage(stage.job, stage.undisturbed[0], stage.landing, (*stage.settings, CHANGED[stage.job]), work)
        yield killed(after, "changed_settings", num_seeds)
    if "two_at_once" in variants:
        yield two_at_once(stage)
    for variant in [variant for variant in ("full_disk", "read_only") if variant in variants]:
        try:
            yield on_a_bad_disk(stage, variant)
        except NoMountError as error:
            Console(stderr=True).print(str(error))


def with_hostile_files(work: Path) -> Outcome:
    """A thousand files that strangers may send, ingested and cleaned at once."""
    landing, lake = work / "hostile", work / "hostile_lake"
    write_hostile_files(landing, hostile_files())
    overrides = [f"landing.path={landing}", f"storage.root={lake}", "spark.driver_memory=2g"]
    outcome = Outcome("ingest_images, clean_images", "hostile_files", 0.0)
    for job in ("ingest_images", "clean_images"):
        ended = run_job(job, overrides)
        outcome.runs += 1
        outcome.duration_s += round(ended.seconds, 1)
        if ended.status:
            outcome.failed += 1
            outcome.said.append(last_line(ended))
            return outcome
    wrong = wrong_in_lake(lake, hostile_files())
    outcome.lost = sum(line.endswith(" is lost") for line in wrong)
    outcome.doubled = sum(line.endswith(" times") for line in wrong)
    outcome.different = len(wrong) - outcome.lost - outcome.doubled
    outcome.said += wrong[:20]
    return outcome


def main(argv: Sequence[str] | None = None) -> None:
    """Disturb, compare, print a table and write it."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("--drawings", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=20, help="kills of each job (default: %(default)s)")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=[job for job in JOBS if job not in LONG_JOBS])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    arguments = parser.parse_args(argv)
    end_in_order_on_sigterm()
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        if "hostile_files" in arguments.variants:
            found.append(with_hostile_files(Path(folder)))
            _write(found, arguments)
        for stage in stages(arguments.jobs, arguments.drawings, Path(folder)):
            for outcome in outcomes(stage, arguments.variants, arguments.seeds):
                found.append(outcome)
                _write(found, arguments)
    _show(found)
    sys.exit(0 if all(outcome.is_clean for outcome in found) else 1)


def _write(found: Sequence[Outcome], arguments: argparse.Namespace) -> None:
    totals = {name: sum(getattr(outcome, name) for outcome in found) for name in COUNTS}
    result = {
        "num_drawings": arguments.drawings,
        "kills_of_each_job": arguments.seeds,
        "totals": totals,
        "outcomes": [asdict(outcome) for outcome in found],
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


def _show(found: Sequence[Outcome]) -> None:
    table = Table(title="after faults: rows and files beside an undisturbed run")
    for name in ("job", "variant", *COUNTS):
        table.add_column(name, justify="right" if name in COUNTS else "left")
    for outcome in found:
        table.add_row(outcome.job, outcome.variant, *(str(getattr(outcome, name)) for name in COUNTS))
    Console().print(table)


if __name__ == "__main__":
    main()
