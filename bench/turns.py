"""Takes turns between ways of training that are all alive: each runs an epoch when it is its turn, and stops after it.

What else the machine does then meets all alike, and none has to be started again.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray

START_WITHIN_S = 240.0
TURN_WITHIN_S = 240.0
ASK_EVERY_S = 0.1

Report = dict[str, Any]


@ray.remote(num_cpus=0)
class Turns:
    """Whose turn it is, and what was reported."""

    def __init__(self) -> None:
        self._on: tuple[str, int] | None = None
        self._is_over = False
        self._processes: dict[str, list[int]] = {}
        self._reports: dict[tuple[str, int], list[Report]] = {}

    def ready(self, name: str, process: int) -> None:
        self._processes.setdefault(name, []).append(process)

    def processes(self, name: str) -> list[int]:
        return self._processes.get(name, [])

    def give(self, name: str, turn: int) -> None:
        self._on = (name, turn)

    def end(self) -> None:
        self._is_over = True

    def may_go(self, name: str, turn: int) -> bool | None:
        """None when there are no more turns."""
        return None if self._is_over else self._on == (name, turn)

    def report(self, name: str, turn: int, report: Report) -> None:
        self._reports.setdefault((name, turn), []).append(report)

    def reports(self, name: str, turn: int) -> list[Report]:
        return self._reports.get((name, turn), [])


def my_turns(turns: Any, name: str) -> Iterator[int]:
    """The turns of a worker of `name`, each when it comes."""
    ray.get(turns.ready.remote(name, os.getpid()))
    turn = 0
    while (may_go := ray.get(turns.may_go.remote(name, turn))) is not None:
        if may_go:
            yield turn
            turn += 1
        else:
            time.sleep(ASK_EVERY_S)


@contextmanager
def all_alive(turns: Any, starts: Mapping[str, Callable[[], Any]], num_workers: dict[str, int]) -> Iterator["Players"]:
    """Start everything, one after another, each a Ray task; inside the block whose turn it is not is stopped."""
    players = Players(turns, num_workers)
    try:
        for name, start in starts.items():
            players.add(name, start())
        yield players
    finally:
        ray.get(turns.end.remote())
        players.signal(list(starts), signal.SIGCONT)
    ray.get(players.tasks)


class Players:
    """Ways of training that take turns; made by `all_alive`."""

    def __init__(self, turns: Any, num_workers: dict[str, int]) -> None:
        self.tasks: list[Any] = []
        self._turns, self._num_workers = turns, num_workers
        self._processes: dict[str, list[int]] = {}

    def add(self, name: str, task: Any) -> None:
        """Wait until the workers that the task starts are ready, and stop them."""
        self.tasks.append(task)
        self._processes[name] = self._ask(lambda: ray.get(self._turns.processes.remote(name)), name, START_WITHIN_S)
        self.signal([name], signal.SIGSTOP)

    def play(self, name: str, turn: int) -> list[Report]:
        """Give one its turn; return what its workers report."""
        self.signal([name], signal.SIGCONT)
        ray.get(self._turns.give.remote(name, turn))
        reports: list[Report] = self._ask(lambda: ray.get(self._turns.reports.remote(name, turn)), name, TURN_WITHIN_S)
        self.signal([name], signal.SIGSTOP)
        return reports

    def signal(self, names: Sequence[str], what: signal.Signals) -> None:
        """Send a signal to all workers of these."""
        for process in [process for name in names for process in self._processes.get(name, [])]:
            os.kill(process, what)

    def _ask(self, question: Callable[[], list[Any]], name: str, within_s: float) -> list[Any]:
        """The answer, once it has an entry of each worker. Raises what ended a task before its time."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            answer = question()
            if len(answer) == self._num_workers[name]:
                return answer
            ended, _ = ray.wait(self.tasks, num_returns=len(self.tasks), timeout=0)
            ray.get(ended)
            time.sleep(ASK_EVERY_S)
        raise TimeoutError(f"{name} did not answer within {within_s:.0f} s")
