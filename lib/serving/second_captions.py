"""The second captioner of a dataset in a child process; our own answer waits for it at most second_deadline_s."""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

from lib.captioning.second_captioner import SecondCaption, failed
from lib.errors import CaptionlakeError
from lib.sections.serving import ServingSettings
from lib.serving.captioner_process import END_WITHIN_S, BatchFailedError, CaptionerProcess, CaptionerSource

logger = logging.getLogger(__name__)

TRY_AGAIN_S = 30.0  # between two attempts to start a process
ENDED = "the process of the second captioner ended while it read this image"
STARTING = "the second captioner is being started"
BUSY = "the second captioner is busy with images that came earlier"

Asked = Future[SecondCaption]


class SecondCaptions:
    """One process, the images that wait for it, and a thread that hands them over. May be used by threads."""

    def __init__(self, dataset: str, source: CaptionerSource, settings: ServingSettings) -> None:
        self.source = source
        self.settings, self._dataset = settings, dataset
        self._process = CaptionerProcess(source)
        self._waiting: list[tuple[bytes, Asked]] = []
        self._changed = threading.Condition()
        self._is_ready = self._is_closed = False
        self._batch_began: float | None = None
        self._thread = threading.Thread(target=self._work, name="second captions", daemon=True)

    def start(self) -> None:
        """Load the captioner. Raises SettingsError if it cannot be loaded, RuntimeMissingError if its process ends."""
        self._process.start()
        with self._changed:
            self._is_ready = not self._is_closed
        self._thread.start()

    def ask(self, images: Sequence[bytes]) -> list[Asked]:
        """What will be said of each image, at once if it is nothing. Whoever no longer waits cancels it."""
        asked: list[Asked] = [Future() for _ in images]
        with self._changed:
            reason = self._why_not(len(images))
            if reason is None:
                self._waiting += zip(images, asked, strict=True)
                self._changed.notify()
                return asked
        _settle(asked, [SecondCaption(None, reason, "unavailable")] * len(asked))
        return asked

    def answered(self, asked: Iterable[Asked]) -> list[SecondCaption]:
        """What has been said of each image by now; nobody waits for the rest any longer."""
        for one in asked:
            one.cancel()
        late = f"the second captioner had not answered after {self.settings.second_deadline_s:g} s"
        return [
            one.result() if one.done() and not one.cancelled() else SecondCaption(None, late, "late") for one in asked
        ]

    def close(self) -> None:
        """End the process."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._refuse_waiting()
        self._process.kill()
        if self._thread.is_alive():
            self._thread.join(END_WITHIN_S)
        self._process.close()

    def _why_not(self, num_images: int) -> str | None:
        """Why that many images are not taken on; None if they are."""
        if not self._is_ready:
            return STARTING
        if self._batch_began and time.monotonic() - self._batch_began > self.settings.second_deadline_s:
            return BUSY
        return BUSY if len(self._waiting) + num_images > self.settings.max_queued_images else None

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            _settle([one for _, one in batch], self._captions([image for image, _ in batch]))
            if not self._process.is_running and not self._is_closed:
                self._restart()

    def _next_batch(self) -> list[tuple[bytes, Asked]] | None:
        """The first images that somebody still waits for; None once this is closed."""
        with self._changed:
            while not self._is_closed:
                batch: list[tuple[bytes, Asked]] = []
                while self._waiting and len(batch) < self.settings.batch_size:
                    image, asked = self._waiting.pop(0)
                    if asked.set_running_or_notify_cancel():
                        batch.append((image, asked))
                if batch:
                    self._batch_began = time.monotonic()
                    return batch
                self._changed.wait()
        return None

    def _captions(self, images: list[bytes]) -> list[SecondCaption]:
        try:
            # Nobody waits for longer than a request may take.
            said = self._process.ask("caption", self._dataset, images, self.settings.deadline_s)
            if not isinstance(said, list):
                raise BatchFailedError(str(said))
        except BatchFailedError as error:
            logger.warning("%d images have no second caption: %s", len(images), error)
            said = [failed(ENDED)] * len(images)
        self._batch_began = None
        if faults := [one.fault for one in said if one.fault]:
            logger.warning("%d of %d images have no second caption: %s", len(faults), len(said), faults[0])
        return said

    def _restart(self) -> None:
        self._refuse_waiting()
        while not self._is_closed:
            try:
                self._process.start()
            except CaptionlakeError as error:
                logger.error("no second captioner: %s", error)
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closed, TRY_AGAIN_S)
            else:
                self._is_ready = not self._is_closed
                return

    def _refuse_waiting(self) -> None:
        """Take on no images until there is a process again."""
        with self._changed:
            self._is_ready = False
            waiting, self._waiting = self._waiting, []
        unread = [one for _, one in waiting if one.set_running_or_notify_cancel()]
        _settle(unread, [SecondCaption(None, STARTING, "unavailable")] * len(unread))


def _settle(asked: Iterable[Asked], said: Iterable[SecondCaption]) -> None:
    for one, caption in zip(asked, said, strict=True):
        one.set_result(caption)
