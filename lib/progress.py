"""Progress of long work: a bar with rate and time left on a terminal, log lines with the same figures elsewhere."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from lib.job_log import terminal

logger = logging.getLogger(__name__)

LOG_EVERY_S = 10.0


class ProgressLine:
    """Counts work done; made by `show_progress`."""

    def __init__(self, name: str, total: int, unit: str, display: Progress | None) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.note = ""
        self._done, self._rate = 0.0, 0.0
        self._most_left_s: float | None = None
        self._started = self._last_log = self._moved = time.monotonic()
        self._display = display
        self._task = display.add_task(name, total=total, unit=unit, rate="", left="", note="") if display else None

    def update(self, done: float, note: str = "", rate: float = 0.0, most_left_s: float | None = None) -> None:
        """Set the finished count to `done`; `note` (scores, say) is shown beside the figures.

        `rate` is for work that took long to start and knows its own speed per second, `most_left_s` for work that ends
        after so many seconds if it is not done before.
        """
        self._rate, self._most_left_s = rate, most_left_s
        if done > self._done:
            self._done, self._moved = done, time.monotonic()
        self.note = note or self.note
        if self._display is not None and self._task is not None:
            speed, left = self._figures()
            self._display.update(self._task, completed=int(self._done), note=self.note, rate=speed, left=left)
        elif time.monotonic() - self._last_log >= LOG_EVERY_S and self._done < self.total:
            self._last_log = time.monotonic()
            self.log()

    def advance(self, count: int = 1) -> None:
        """Add `count` to the finished count."""
        self.update(self._done + count)

    def log(self) -> None:
        """Write the figures to the log."""
        rate, left = self._figures()
        logger.info(
            "%s %s/%s %s, %s, %s%s",
            self.name,
            f"{int(self._done):,}",
            f"{self.total:,}",
            self.unit,
            rate,
            left,
            f", {self.note}" if self.note else "",
        )

    def _figures(self) -> tuple[str, str]:
        """Speed and time left, as terminal and log show them."""
        elapsed_s = self._moved - self._started  # not until now: time left would grow while nothing is done
        rate = self._rate or (self._done / elapsed_s if elapsed_s > 0 else 0.0)
        if not self._done:
            return _speed(rate), "starting"
        if not rate or self._done >= self.total:
            return _speed(rate), "done"
        left_s = (self.total - self._done) / rate
        left_s = left_s if self._most_left_s is None else min(left_s, max(0.0, self._most_left_s))
        return _speed(rate), f"{left_s:,.0f} s left"


def _speed(rate: float) -> str:
    return f"{1 / rate:,.0f} s each" if 0 < rate < 0.1 else f"{rate:,.1f}/s"


@contextmanager
def show_progress(name: str, total: int, unit: str = "images") -> Iterator[ProgressLine]:
    """Show one line of progress while the block runs."""
    if not terminal().isatty():
        line = ProgressLine(name, total, unit, None)
        yield line
        line.log()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        *(TextColumn(f"{{task.fields[{name}]}}") for name in ("unit", "rate", "left", "note")),
    )
    with Progress(*columns, console=Console(file=terminal())) as display:
        yield ProgressLine(name, total, unit, display)


@contextmanager
def polling(look: Callable[[], None], every_s: float) -> Iterator[None]:
    """Call `look` every so many seconds, in a thread of its own, while the block runs."""
    stop = threading.Event()

    def poll() -> None:
        while not stop.wait(every_s):
            look()

    poller = threading.Thread(target=poll, name="polling", daemon=True)
    poller.start()
    try:
        yield
    finally:
        stop.set()
        poller.join()
