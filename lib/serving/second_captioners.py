"""The second captioners of all datasets that have one, and their entries beside our captions."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from lib.captioning.second_captioner import shown_name
from lib.errors import CaptionlakeError, RuntimeMissingError, SettingsError
from lib.lake.models import Model
from lib.sections.images import CleaningSettings
from lib.serving.answers import CaptionAnswer, with_second
from lib.serving.metrics import Metrics
from lib.serving.second_captions import Asked, SecondCaptions
from lib.serving.second_source import SecondSource
from lib.settings import Settings

logger = logging.getLogger(__name__)

SETTING = "serving.second_captioners"
MARGIN_S = 0.5  # that an answer goes out before its request is too late


class SecondCaptioners:
    """A process for each dataset of serving.second_captioners. All methods belong to one event loop."""

    def __init__(self, settings: Settings, cleaning: Mapping[str, CleaningSettings], metrics: Metrics) -> None:
        """`cleaning` is that of each dataset that is served. Raises SettingsError if a second one is of another."""
        self._settings, self._cleaning, self._metrics = settings, cleaning, metrics
        self._of: dict[str, SecondCaptions] = {}
        self._loading: SecondCaptions | None = None
        for dataset in settings.serving.second_captioners:
            if dataset not in cleaning:
                raise SettingsError(
                    f"{SETTING} names dataset {dataset!r}, and no model is served for it; there are: "
                    f"{', '.join(cleaning)}"
                )

    async def start(self, models: Mapping[str, Model]) -> None:
        """Load those that are new or depend on a model that is. Raises SettingsError, RuntimeMissingError."""
        for dataset in self._settings.serving.second_captioners:
            source = self._source(dataset, models[dataset])
            before = self._of.get(dataset)
            if before is not None and isinstance(before.source, SecondSource) and source.is_as_good_as(before.source):
                continue
            self._loading = SecondCaptions(dataset, source, self._settings.serving)
            try:
                await asyncio.to_thread(self._loading.start)
            except RuntimeMissingError as error:
                raise RuntimeMissingError(f"{source.setting} is {source.name!r}: {error}") from None
            self._of[dataset], self._loading = self._loading, None
            logger.info("second captioner of %s: %s", dataset, source.name)
            if before is not None:
                await asyncio.to_thread(before.close)

    async def follow(self, models: Mapping[str, Model]) -> None:
        """Load those that depend on a model that has changed; one that cannot be loaded stays as it is."""
        try:
            await self.start(models)
        except CaptionlakeError as error:
            logger.error("the second captioner stays as it is: %s", error)

    def ask(self, dataset: str, images: Sequence[bytes]) -> list[Asked]:
        """Give images to the dataset's second captioner; nothing is asked where there is none."""
        return self._of[dataset].ask(images) if dataset in self._of else []

    async def beside(
        self, answers: list[CaptionAnswer], dataset: str, asked: list[Asked], asked_at: float, until: float
    ) -> list[CaptionAnswer]:
        """Our answers, each with the second captioner's entry, as far as there is one in time.

        `asked_at` and `until` are times of the event loop: when it was asked, and when the request is too late.
        """
        if not asked:
            return answers
        now = asyncio.get_running_loop().time()
        wait_until = min(asked_at + self._settings.serving.second_deadline_s, until - MARGIN_S)
        await asyncio.wait([asyncio.wrap_future(one) for one in asked], timeout=max(0.0, wait_until - now))
        said = self._of[dataset].answered(asked)
        for one in said:
            self._metrics.second_captions.labels(dataset, one.outcome).inc()
        name = shown_name(self._settings.serving.second_captioners[dataset])
        return [with_second(answer, one, name) for answer, one in zip(answers, said, strict=True)]

    async def close(self) -> None:
        """End all processes."""
        for one in (*self._of.values(), self._loading):
            if one is not None:
                await asyncio.to_thread(one.close)

    def _source(self, dataset: str, model: Model) -> SecondSource:
        return SecondSource(
            dataset,
            self._settings.serving.second_captioners[dataset],
            f"{SETTING}.{dataset}",
            model.directory,
            self._cleaning[dataset],
            self._settings.storage,
            self._settings.prediction.threads_per_worker,
        )
