"""A process that captions, and the pipe to it: it loads once, then answers batches, one at a time.

What ends it (a library's crash, no memory, a batch that takes too long) costs that batch alone; `start` starts another.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any, Protocol

from lib.errors import CaptionlakeError, RuntimeMissingError, SettingsError
from model.errors import ModelError

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 300.0
END_WITHIN_S = 5.0


class CaptionerSource(Protocol):
    """What a process loads; it travels to the process."""

    @property
    def num_threads(self) -> int:
        """Threads of the process."""

    def load(self) -> Mapping[str, Any]:
        """The captioner of each dataset. Raises CaptionlakeError, CheckpointError, EncoderWeightsError."""


class BatchFailedError(CaptionlakeError):
    """Raised when a batch is not answered: the process failed, ended, or was ended because it took too long."""


class CaptionerProcess:
    """One process and the pipe to it. Its methods block; one call at a time, but for `kill`."""

    def __init__(self, source: CaptionerSource) -> None:
        self.source = source
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process can be given batches, as far as is known."""
        return self._process is not None

    def start(self) -> None:
        """Start the process and wait until its captioners are loaded.

        Raises SettingsError, with the cause, if one cannot be loaded; RuntimeMissingError if the process ends, or if
        the system starts none.
        """
        self.close()
        spawning = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
        try:
            self._pipe, theirs = spawning.Pipe()
            with theirs:
                process = spawning.Process(
                    target=_answer_batches, args=(theirs, self.source), name="captions", daemon=True
                )
                process.start()
        except OSError as error:  # no memory, or too many processes or files
            self.close()
            raise RuntimeMissingError(f"the process that captions cannot be started: {error}") from None
        self._process = process
        try:
            fault = self._receive(START_TIMEOUT_S)
        except BatchFailedError as error:
            raise RuntimeMissingError(f"the process that captions did not start: {error}") from None
        if fault is not None:
            self.close()
            raise SettingsError(str(fault))

    def ask(self, method: str, dataset: str, content: object, timeout_s: float) -> object:
        """What a method of the dataset's captioner answers, or a text that says how it failed.

        Raises BatchFailedError; if the process no longer runs, `start` must be called.
        """
        taking = threading.Timer(timeout_s, self.kill)  # a process that hangs takes nothing, and `send` would wait on
        taking.start()
        try:
            if self._pipe is None:
                raise BrokenPipeError
            self._pipe.send((method, dataset, content))
        except OSError:
            self.close()
            raise BatchFailedError("the process has ended") from None
        finally:
            taking.cancel()
        return self._receive(timeout_s)

    def kill(self) -> None:
        """End the process under a call of another thread, which then raises."""
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """End the process."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.join(0)
            self._process.kill()
            self._process.join(END_WITHIN_S)
        self._process = self._pipe = None

    def _receive(self, timeout_s: float) -> object:
        """What the process says next. Raises BatchFailedError if it says nothing in time or ends."""
        assert self._pipe is not None
        try:
            if self._pipe.poll(timeout_s):
                return self._pipe.recv()
            why = f"no answer in {timeout_s:.0f} s"
        except (EOFError, OSError):
            why = "it has ended"
        self.close()
        raise BatchFailedError(why)


def _answer_batches(pipe: Connection, source: CaptionerSource) -> None:
    """What the process does: load, say so, then answer until its parent closes the pipe or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the server, which closes the pipe
    os.dup2(2, 1)  # standard output is the server's access log, and libraries may print
    import torch

    torch.set_num_threads(source.num_threads)
    try:
        captioners = source.load()
    except (CaptionlakeError, ModelError) as error:
        pipe.send(str(error))
        return
    pipe.send(None)
    while True:
        try:
            method, dataset, content = pipe.recv()
        except EOFError:
            return
        try:
            answer: object = getattr(captioners[dataset], method)(content)
        except Exception as error:  # whatever a library stumbles over costs this batch alone
            logger.exception("a batch could not be read")
            answer = f"{type(error).__name__}: {error}"
        pipe.send(answer)
