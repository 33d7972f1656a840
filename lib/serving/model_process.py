"""A process that captions: it loads the models of all datasets once, then answers batches, one at a time.

What ends it (a library's crash, no memory, a batch that takes too long) costs that batch alone; `start` starts another.
"""

import logging
import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.captioning.attention_maps import AttentionMaps
from lib.captioning.captioner import CaptionedImage, Captioner
from lib.errors import CaptionlakeError, RuntimeMissingError, SettingsError
from lib.lake.models import Model
from lib.serving.example_drawing import example_png
from model.errors import CheckpointError, EncoderWeightsError

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 300.0
END_WITHIN_S = 5.0


class ModelSource(NamedTuple):
    """Which models a process loads, and with which settings."""

    models: Mapping[str, Model]  # by dataset
    overrides: tuple[str, ...]  # section.key=value
    conf: str | None
    num_threads: int


class BatchFailedError(CaptionlakeError):
    """Raised when a batch is not answered: the process failed, ended, or was ended because it took too long."""


class ModelProcess:
    """One process and the pipe to it. Its methods block; one call at a time."""

    def __init__(self, source: ModelSource) -> None:
        self.source = source
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process can be given batches, as far as is known."""
        return self._process is not None

    def start(self) -> None:
        """Start the process and wait until its models have captioned an image.

        Raises SettingsError, with the cause, if a model cannot be loaded; RuntimeMissingError if the process ends.
        """
        self.close()
        spawning = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
        self._pipe, theirs = spawning.Pipe()
        self._process = spawning.Process(
            target=_answer_batches, args=(theirs, self.source), name="captions", daemon=True
        )
        self._process.start()
        theirs.close()
        try:
            fault = self._receive(START_TIMEOUT_S)
        except BatchFailedError as error:
            raise RuntimeMissingError(f"the process that captions did not start: {error}") from None
        if fault is not None:
            self.close()
            raise SettingsError(str(fault))

    def caption(self, dataset: str, images: Sequence[bytes], timeout_s: float) -> list[CaptionedImage]:
        """One entry for each image, in order. Raises BatchFailedError; if it no longer runs, `start` must be called."""
        answer = self._ask("caption", dataset, images, timeout_s)
        if not isinstance(answer, list):
            raise BatchFailedError(str(answer))
        return answer

    def look(self, dataset: str, pixels: np.ndarray, timeout_s: float) -> AttentionMaps:
        """Where attention looked as a cleaned image was read once. Raises BatchFailedError, as `caption` does."""
        answer = self._ask("look_at_cleaned", dataset, pixels, timeout_s)
        if not isinstance(answer, AttentionMaps):
            raise BatchFailedError(str(answer))
        return answer

    def close(self) -> None:
        """End the process."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.join(0)
            self._process.kill()
            self._process.join(END_WITHIN_S)
        self._process = self._pipe = None

    def _ask(self, method: str, dataset: str, content: object, timeout_s: float) -> object:
        """What a method of the dataset's Captioner answers, or a text that says how it failed."""
        try:
            assert self._pipe is not None
            self._pipe.send((method, dataset, content))
        except (AssertionError, OSError):
            self.close()
            raise BatchFailedError("the process has ended") from None
        return self._receive(timeout_s)

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


def _answer_batches(pipe: Connection, source: ModelSource) -> None:
    """What the process does: load and warm up, say so, then answer until its parent closes the pipe or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the server, which closes the pipe
    import torch

    torch.set_num_threads(source.num_threads)
    try:
        captioners = {
            dataset: Captioner(Path(model.directory), dataset, source.overrides, source.conf)
            for dataset, model in source.models.items()
        }
        for captioner in captioners.values():
            captioner.caption([example_png()])
    except (CaptionlakeError, CheckpointError, EncoderWeightsError) as error:
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
