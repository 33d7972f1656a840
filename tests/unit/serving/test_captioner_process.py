"""A process that captions and what may go wrong with it: `pytest tests/unit/serving/test_captioner_process.py`."""

import os
import resource
import signal
from collections.abc import Iterator, Mapping
from itertools import count
from typing import NamedTuple

import pytest

from lib.errors import RuntimeMissingError
from lib.serving.captioner_process import BatchFailedError, CaptionerProcess

MORE_THAN_A_PIPE_HOLDS = bytes(4_000_000)


class Counter:
    def count(self, content: bytes) -> int:
        return len(content)


class CounterSource(NamedTuple):
    num_threads: int = 1

    def load(self) -> Mapping[str, Counter]:
        return {"bytes": Counter()}


@pytest.fixture
def process() -> Iterator[CaptionerProcess]:
    process = CaptionerProcess(CounterSource())
    yield process
    process.close()


def test_a_process_that_takes_nothing_is_ended_in_time_and_another_answers(process: CaptionerProcess) -> None:
    process.start()
    assert process.ask("count", "bytes", MORE_THAN_A_PIPE_HOLDS, 60) == len(MORE_THAN_A_PIPE_HOLDS)
    assert process._process is not None
    os.kill(process._process.pid or 0, signal.SIGSTOP)
    with pytest.raises(BatchFailedError):
        process.ask("count", "bytes", MORE_THAN_A_PIPE_HOLDS, 1)
    assert not process.is_running
    process.start()
    assert process.ask("count", "bytes", b"four", 60) == 4


def test_a_process_that_the_system_does_not_start_is_one_sentence_and_may_be_started_later(
    process: CaptionerProcess,
) -> None:
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = set(map(int, os.listdir("/proc/self/fd")))
    first_free = next(number for number in count() if number not in taken)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free + 1, most))  # one more file, and a pipe is two
    try:
        with pytest.raises(RuntimeMissingError, match="the process that captions cannot be started: "):
            process.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
    assert not process.is_running
    process.close()
    process.start()
    assert process.ask("count", "bytes", b"four", 60) == 4
