"""A process that captions by our models, those of all datasets."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lib.captioning.attention_maps import AttentionMaps
from lib.captioning.captioner import CaptionedImage, Captioner
from lib.errors import SettingsError
from lib.lake.models import Model
from lib.serving.captioner_process import BatchFailedError, CaptionerProcess
from lib.serving.example_drawing import example_png
from lib.settings import load_settings
from model.checkpoint import load_details


class ModelSource(NamedTuple):
    """Which models a process loads, and with which settings."""

    models: Mapping[str, Model]  # by dataset
    overrides: tuple[str, ...]  # section.key=value
    conf: str | None
    num_threads: int
    environment: str

    def load(self) -> Mapping[str, Captioner]:
        """The captioners, each of which has captioned an image. Raises CaptionlakeError and errors of checkpoints."""
        captioners = {}
        for dataset, (version, directory) in self.models.items():
            notation = load_settings(dataset, self.environment, self.overrides, self.conf).captions.notation
            if (its_own := load_details(directory)["notation"]) != notation:
                raise SettingsError(
                    f"model {version} writes captions.notation {its_own}, dataset {dataset} asks for {notation}: name "
                    f"another in serving.models, or serve the dataset that it was trained for"
                )
            captioners[dataset] = Captioner(directory, dataset, self.overrides, self.conf, self.environment)
        for captioner in captioners.values():
            captioner.caption([example_png()])
        return captioners


class ModelProcess(CaptionerProcess):
    """A process of our models. Its methods block; one call at a time."""

    source: ModelSource

    def __init__(self, source: ModelSource) -> None:
        super().__init__(source)

    def caption(self, dataset: str, images: Sequence[bytes], timeout_s: float) -> list[CaptionedImage]:
        """One entry for each image, in order. Raises BatchFailedError; if it no longer runs, `start` must be called."""
        answer = self.ask("caption", dataset, images, timeout_s)
        if not isinstance(answer, list):
            raise BatchFailedError(str(answer))
        return answer

    def look(self, dataset: str, pixels: np.ndarray, timeout_s: float) -> AttentionMaps:
        """Where attention looked as a cleaned image was read once. Raises BatchFailedError, as `caption` does."""
        answer = self.ask("look_at_cleaned", dataset, pixels, timeout_s)
        if not isinstance(answer, AttentionMaps):
            raise BatchFailedError(str(answer))
        return answer
