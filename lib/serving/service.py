"""The models that the server captions with, and the switch to a new current model without losing a request."""

import asyncio
import logging
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from lib.errors import CaptionlakeError, MissingInputError, RuntimeMissingError, SettingsError
from lib.lake.models import IN_THE_PROJECT, IN_USE, Model, has_current_model, pretrained_model, resolve_model
from lib.serving.answers import CaptionAnswer
from lib.serving.batches import BatchQueue
from lib.serving.metrics import Metrics
from lib.serving.model_process import ModelProcess, ModelSource
from lib.serving.refusals import LOADING, RefusedRequestError, check_dataset
from lib.serving.second_captioners import SecondCaptioners
from lib.settings import Settings, load_settings

logger = logging.getLogger(__name__)

START_AGAIN_S = 60.0  # after processes could not be started: others need the machine meanwhile
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of use, and in how many


def models_to_serve(settings: Settings) -> dict[str, Model]:
    """The model of each dataset. Raises SettingsError, MissingInputError, RuntimeMissingError."""
    names = settings.serving.models or {settings.dataset: "current"}
    return {dataset: _model_named(settings, dataset, name) for dataset, name in names.items()}


def _model_named(settings: Settings, dataset: str, name: str) -> Model:
    if name == IN_THE_PROJECT or (name in IN_USE and not has_current_model(settings.storage)):
        return _pretrained_model(dataset, f"serving.models.{dataset}")
    try:
        return resolve_model(settings.storage, name, dataset)
    except (MissingInputError, SettingsError) as error:
        sentence = str(error).replace("prediction.model_version", f"serving.models.{dataset}")
        raise type(error)(sentence) from None


_pretrained_model = lru_cache(pretrained_model)  # to name it its files are read: too much for every few seconds


def _num_cores() -> int:
    """The cores that this process may use: those it is bound to, or fewer where its container has a quota."""
    num_cores = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no control groups of version 2, or no quota ("max")
        quota, period = CPU_QUOTA.read_text().split()
        num_cores = min(num_cores, max(1, int(quota) // int(period)))
    return num_cores


class CaptionService:
    """The models, their processes and the queue before them. All methods belong to one event loop."""

    def __init__(self, settings: Settings, overrides: Sequence[str], metrics: Metrics) -> None:
        """Resolve the models. Raises SettingsError, MissingInputError, RuntimeMissingError."""
        self.settings, self._metrics = settings, metrics
        self._overrides = tuple(overrides)
        self.models = models_to_serve(settings)
        of = {
            dataset: load_settings(dataset, settings.environment, overrides, settings.conf) for dataset in self.models
        }
        self.max_image_bytes = {dataset: its_own.landing.max_image_bytes for dataset, its_own in of.items()}
        self.queue = BatchQueue(settings.serving, metrics)
        cleaning = {dataset: its_own.cleaning for dataset, its_own in of.items()}
        self._second = SecondCaptioners(settings, cleaning, metrics)

    @property
    def is_warm(self) -> bool:
        """Whether a process waits for images."""
        return self.queue.num_warm > 0

    def dataset_named(self, name: str | None) -> str:
        """The dataset of a request. Raises RefusedRequestError if no model for it is served."""
        default = self.settings.dataset if self.settings.dataset in self.models else next(iter(self.models))
        dataset = name or default
        check_dataset(dataset, self.models)
        return dataset

    async def caption(self, dataset: str, images: Sequence[bytes], until: float = math.inf) -> list[CaptionAnswer]:
        """One entry for each image, in order. Raises RefusedRequestError.

        `until` is the time of the event loop at which the request is too late: no second caption is waited for then.
        """
        if not self.is_warm:
            raise RefusedRequestError(503, LOADING, retry_after_s=5)
        asked_at, asked = asyncio.get_running_loop().time(), self._second.ask(dataset, images)
        try:
            answers = await self.queue.caption(dataset, images)
            return await self._second.beside(answers, dataset, asked, asked_at, until)
        finally:
            for one in asked:
                one.cancel()

    async def start(self) -> None:
        """Load the models, and the second captioners before. Raises SettingsError, RuntimeMissingError."""
        await self._second.start(self.models)
        await self._use(self.models)
        logger.info("ready: %s", ", ".join(f"{dataset} by {model.version}" for dataset, model in self.models.items()))

    async def follow_current_models(self) -> None:
        """Until cancelled: look which models are current; load those that are new, then caption with them."""
        refused: dict[str, Model] | None = None
        said = ""
        while True:
            await asyncio.sleep(self.settings.serving.check_models_s)
            try:
                models = await asyncio.to_thread(models_to_serve, self.settings)
                if models in (self.models, refused):
                    continue
                refused = models
                await self._use(models)
                self._metrics.model_changes.labels("changed").inc()
                logger.info("changed to %s", ", ".join(model.version for model in models.values()))
                refused, said = None, ""
                await self._second.follow(models)
            except (CaptionlakeError, OSError) as error:
                if said != str(error):
                    self._metrics.model_changes.labels("refused").inc()
                    logger.error("the models stay as they are: %s", error)
                said = str(error)
                if isinstance(error, RuntimeMissingError) and refused is not None:  # not the fault of these models
                    refused = None
                    await asyncio.sleep(START_AGAIN_S)

    async def close(self) -> None:
        """End all processes."""
        await self.queue.close()
        await self._second.close()

    async def _use(self, models: dict[str, Model]) -> None:
        num_threads = self.settings.prediction.threads_per_worker
        source = ModelSource(models, self._overrides, self.settings.conf, num_threads, self.settings.environment)
        num_processes = self.settings.serving.num_processes or max(1, _num_cores() // num_threads)
        processes = [ModelProcess(source) for _ in range(num_processes)]
        started = await asyncio.gather(*(self.queue.start(one) for one in processes), return_exceptions=True)
        faults = [fault for fault in started if isinstance(fault, BaseException)]
        if faults:
            for process in processes:
                process.close()
            raise faults[0]
        await self.queue.use(processes)
        self.models = models
        self._metrics.show_models(models)
