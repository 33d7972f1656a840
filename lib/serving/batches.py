"""A queue of images, and processes that caption batches from it."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lib.captioning.captioner import CaptionedImage
from lib.errors import CaptionlakeError
from lib.sections.serving import ServingSettings
from lib.serving.answers import CaptionAnswer, as_answer
from lib.serving.captioner_process import BatchFailedError
from lib.serving.metrics import Metrics
from lib.serving.model_process import ModelProcess
from lib.serving.refusals import RefusedRequestError

logger = logging.getLogger(__name__)

FAILED_TWICE = "reading_failed: reading this image failed twice; save it again in another format, or make it smaller"
TRY_AGAIN_S = 5.0


@dataclass(eq=False)
class WaitingImage:
    """An image in the queue, and where its answer goes."""

    dataset: str
    image: bytes
    answer: asyncio.Future[CaptionAnswer]
    arrived: float = field(default_factory=time.monotonic)
    has_failed: bool = False  # it was in a batch that could not be read


class BatchQueue:
    """Images that wait, and the processes that caption them. All methods belong to one event loop."""

    def __init__(self, settings: ServingSettings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._waiting: deque[WaitingImage] = deque()
        self._arrived = asyncio.Event()
        self._taking = asyncio.Lock()
        self._num_idle = 0
        self._image_s = 1.0  # seconds that an image takes a process, a moving average
        self._workers: list[asyncio.Task[None]] = []
        self._processes: list[ModelProcess] = []
        self._threads = ThreadPoolExecutor(thread_name_prefix="captions", max_workers=64)
        self.num_warm = 0

    async def caption(self, dataset: str, images: Sequence[bytes]) -> list[CaptionAnswer]:
        """One entry for each image, in order. Whoever cancels this takes the images out of the queue.

        Raises RefusedRequestError if the queue is full, or if the answer would come after the deadline.
        """
        num_waiting, image_s = len(self._waiting), self._image_s / max(1, len(self._workers))
        is_late = num_waiting > 0 and (num_waiting + len(images)) * image_s > self._settings.deadline_s
        if is_late or num_waiting + len(images) > self._settings.max_queued_images:
            wait_s = max(1.0, num_waiting * image_s)
            raise RefusedRequestError(429, f"{num_waiting} images wait already: try again later", wait_s)
        loop = asyncio.get_running_loop()
        mine = [WaitingImage(dataset, image, loop.create_future()) for image in images]
        self._put(mine)
        try:
            return list(await asyncio.gather(*(one.answer for one in mine)))
        finally:
            for one in mine:
                one.answer.cancel()
            self._set_waiting(deque(one for one in self._waiting if not one.answer.done()))

    async def use(self, processes: Sequence[ModelProcess]) -> None:
        """Caption with these warm processes from now on; the ones before end their batches and are closed."""
        before, processes_before = self._workers, self._processes
        self._workers = [asyncio.create_task(self._work(process)) for process in processes]
        self._processes = list(processes)
        self.num_warm = len(processes)
        await self._end(before, processes_before)

    async def close(self) -> None:
        """End all processes."""
        await self._end(self._workers, self._processes)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def start(self, process: ModelProcess) -> None:
        """Start a process without holding up the event loop. Raises what ModelProcess.start raises."""
        await asyncio.get_running_loop().run_in_executor(self._threads, process.start)

    async def _end(self, workers: list[asyncio.Task[None]], processes: list[ModelProcess]) -> None:
        for worker in workers:
            worker.cancel()  # one that captions ends its batch first
        await asyncio.gather(*workers, return_exceptions=True)
        for process in processes:
            process.close()

    async def _work(self, process: ModelProcess) -> None:
        while True:
            batch = await self._next_batch()
            captioning = asyncio.create_task(self._answer(process, batch))
            try:
                await asyncio.shield(captioning)
            except asyncio.CancelledError:
                await captioning
                raise
            if not process.is_running:
                await self._restart(process)

    async def _next_batch(self) -> list[WaitingImage]:
        """Images of one dataset, in the order of arrival; when little waits, idle processes divide it."""
        self._num_idle += 1
        try:
            async with self._taking:
                while True:
                    await self._arrived.wait()
                    if len(self._waiting) < self._settings.batch_size and self._waiting:
                        age_s = time.monotonic() - self._waiting[0].arrived
                        await asyncio.sleep(max(0.0, self._settings.max_wait_ms / 1000 - age_s))
                    if batch := self._taken(math.ceil(len(self._waiting) / self._num_idle)):
                        return batch
        finally:
            self._num_idle -= 1

    def _taken(self, most: int) -> list[WaitingImage]:
        most = min(most, self._settings.batch_size)
        batch: list[WaitingImage] = []
        left: deque[WaitingImage] = deque()
        for one in self._waiting:
            fits = not batch or (one.dataset == batch[0].dataset and not (one.has_failed or batch[0].has_failed))
            (batch if len(batch) < most and fits else left).append(one)
        self._set_waiting(left)
        return batch

    async def _answer(self, process: ModelProcess, batch: list[WaitingImage]) -> None:
        """Caption a batch and answer it; its images wait again if that fails."""
        dataset, images = batch[0].dataset, [one.image for one in batch]
        started = time.monotonic()
        try:
            captioned: list[CaptionedImage] = await asyncio.get_running_loop().run_in_executor(
                # No client waits for a batch that takes longer than the deadline of a request.
                self._threads,
                process.caption,
                dataset,
                images,
                self._settings.deadline_s,
            )
        except BatchFailedError as error:
            logger.warning("a batch of %d images could not be read: %s", len(batch), error)
            self._put_back(process, batch)
            return
        took_s = time.monotonic() - started
        self._image_s = 0.9 * self._image_s + 0.1 * took_s / len(batch)
        self._metrics.batch_images.observe(len(batch))
        self._metrics.batch_seconds.observe(took_s)
        for one, image in zip(batch, captioned, strict=True):
            self._answer_one(process, one, image)

    def _answer_one(self, process: ModelProcess, one: WaitingImage, image: CaptionedImage) -> None:
        answer = as_answer(image, process.source.models[one.dataset].version)
        self._metrics.count_image(one.dataset, answer)
        if not one.answer.done():
            one.answer.set_result(answer)

    def _put_back(self, process: ModelProcess, batch: list[WaitingImage]) -> None:
        """Let each image of a batch that failed be read again, alone; one that was alone has no caption."""
        again = []
        for one in batch:
            if one.has_failed and len(batch) == 1:
                self._answer_one(process, one, CaptionedImage(None, None, None, [], reason=FAILED_TWICE))
            elif not one.answer.done():
                one.has_failed = True
                again.append(one)
        self._waiting.extendleft(reversed(again))
        self._set_waiting(self._waiting)

    async def _restart(self, process: ModelProcess) -> None:
        self.num_warm -= 1
        self._metrics.process_restarts.inc()
        while True:
            try:
                await self.start(process)
                break
            except CaptionlakeError as error:
                logger.error("no process that captions: %s", error)
                await asyncio.sleep(TRY_AGAIN_S)
        self.num_warm += 1

    def _put(self, images: Sequence[WaitingImage]) -> None:
        self._waiting.extend(images)
        self._set_waiting(self._waiting)

    def _set_waiting(self, waiting: deque[WaitingImage]) -> None:
        self._waiting = waiting
        self._metrics.queued_images.set(len(waiting))
        (self._arrived.set if waiting else self._arrived.clear)()
