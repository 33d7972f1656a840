"""Attention maps of the model that wrote a caption, computed in a child process."""

import threading
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from lib.captioning.attention_maps import AttentionMaps
from lib.errors import CaptionlakeError
from lib.lake.models import Model, resolve_model
from lib.serving.captioner_process import BatchFailedError
from lib.serving.model_process import ModelProcess, ModelSource
from lib.serving.refusals import RefusedRequestError
from lib.serving.service import models_to_serve
from lib.settings import Settings


class AttentionReader:
    """Keeps the model that was asked last. May be used by threads: one is answered, others are asked to come again."""

    def __init__(self, settings: Settings, overrides: Sequence[str]) -> None:
        self._settings, self._overrides = settings, tuple(overrides)
        self._lock = threading.Lock()
        self._process: ModelProcess | None = None

    def look(self, model_version: str, pixels: np.ndarray) -> AttentionMaps:
        """Where the model looked in a cleaned image, (H, W) or (H, W, 3), before each token that it wrote.

        Waits until the model is loaded. Raises RefusedRequestError; SettingsError, RuntimeMissingError if it cannot be.
        """
        if not self._lock.acquire(blocking=False):
            raise RefusedRequestError(503, "another image is being read: ask again in a moment", retry_after_s=5)
        try:
            process = self._process_of(self._model(model_version))
            return process.look(self._settings.dataset, pixels, self._settings.reviewing.deadline_s)
        except BatchFailedError as error:
            raise RefusedRequestError(422, f"the image could not be read again ({error})") from None
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()

    def _process_of(self, model: Model) -> ModelProcess:
        models = {self._settings.dataset: model}
        if self._process is None or self._process.source.models != models or not self._process.is_running:
            self.close()
            num_threads = self._settings.prediction.threads_per_worker
            source = ModelSource(models, self._overrides, self._settings.conf, num_threads, self._settings.environment)
            self._process = ModelProcess(source)
            self._process.start()
        return self._process

    def _model(self, model_version: str) -> Model:
        """The model of that version, in the storage or of those that are served."""
        if "/" not in model_version:  # which would be the path of any checkpoint
            with suppress(CaptionlakeError):
                return resolve_model(self._settings.storage, model_version, self._settings.dataset)
            with suppress(CaptionlakeError, StopIteration):
                served = models_to_serve(self._settings).values()
                return next(model for model in served if model.version == model_version)
        raise RefusedRequestError(404, f"no attention map: the checkpoint of model {model_version[:100]!r} is not here")
