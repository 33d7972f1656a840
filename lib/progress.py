"""Progress of long work: a bar with rate and time left on a terminal, log lines with the same figures elsewhere."""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

logger = logging.getLogger(__name__)

LOG_EVERY_S = 10.0


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text(f"{rate:,.0f} {task.fields['unit']}/s" if rate else "", style="progress.data.speed")


class ProgressLine:
    """Counts work done; made by `show_progress`."""

    def __init__(self, name: str, total: int, unit: str, display: Progress | None) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.note = ""
        self._done, self._rate = 0.0, 0.0
        self._started = self._last_log = time.monotonic()
        self._display = display
        self._task = display.add_task(name, total=total, unit=unit, note="") if display else None

    def update(self, done: float, note: str = "", rate: float = 0.0) -> None:
        """Say that `done` of the total are behind us, with `note` (scores, say) beside the figures.

        `rate` is for work that took long to start and knows its own speed per second.
        """
        self._rate = rate
        # Never backwards: Spark plans further stages as it goes, so a share of tasks done can fall.
        self._done, self.note = max(done, self._done), note or self.note
        if self._display is not None and self._task is not None:
            self._display.update(self._task, completed=int(self._done), note=self.note)
        elif time.monotonic() - self._last_log >= LOG_EVERY_S:
            self._last_log = time.monotonic()
            self.log()

    def advance(self, count: int = 1) -> None:
        """Say that `count` more are behind us."""
        self.update(self._done + count)

    def log(self) -> None:
        elapsed_s = time.monotonic() - self._started
        rate = self._rate or (self._done / elapsed_s if elapsed_s > 0 else 0.0)
        left = f"{(self.total - self._done) / rate:,.0f} s left" if rate and self._done < self.total else "done"
        if not self._done:
            left = "starting"
        logger.info(
            "%s %s/%s %s, %.1f/s, %s%s",
            self.name, f"{int(self._done):,}", f"{self.total:,}", self.unit, rate, left,
            f", {self.note}" if self.note else "",
        )


@contextmanager
def show_progress(name: str, total: int, unit: str = "images") -> Iterator[ProgressLine]:
    """Show one line of progress while the block runs."""
    if not sys.stderr.isatty():
        line = ProgressLine(name, total, unit, None)
        yield line
        line.log()
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _RateColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as display:
        yield ProgressLine(name, total, unit, display)


@contextmanager
def spark_job_progress(spark: SparkSession, line: ProgressLine, done_before: int, num_rows: int) -> Iterator[None]:
    """While the block runs Spark jobs over `num_rows` rows, move `line` on with the share of their tasks done."""
    stop = threading.Event()
    group = f"{line.name}-{done_before}"
    tracker = spark.sparkContext.statusTracker()

    def poll() -> None:
        while not stop.wait(0.5):
            stages = [
                info
                for job_id in tracker.getJobIdsForGroup(group)
                if (job := tracker.getJobInfo(job_id)) is not None
                for stage_id in job.stageIds
                if (info := tracker.getStageInfo(stage_id)) is not None
            ]
            num_tasks = sum(stage.numTasks for stage in stages)
            if num_tasks:
                num_done = sum(stage.numCompletedTasks for stage in stages)
                line.update(done_before + 0.99 * num_rows * num_done / num_tasks)

    poller = threading.Thread(target=poll, daemon=True)
    spark.sparkContext.setJobGroup(group, line.name)
    poller.start()
    try:
        yield
    finally:
        stop.set()
        poller.join()
    line.update(done_before + num_rows)
