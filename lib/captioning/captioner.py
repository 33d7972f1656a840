"""Images to captions from Python, without Spark and without tables.

from lib.captioning.captioner import Captioner
for image in Captioner.pretrained("molecules").caption(["drawing.png"]):
    print(image.caption, image.confidence)
"""

import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from lib.captioning.attention_maps import AttentionMaps, attention_maps
from lib.captioning.image_captioning import CleanedImage, ImageCaptioner
from lib.captions.checkpoint_fit import cleaning_for
from lib.errors import CorruptImageError
from lib.images.cleaning import clean_image
from lib.lake.models import pretrained_model, resolve_model
from lib.lake.registered_models import IN_THE_REGISTRY
from lib.sections.images import CleaningSettings
from lib.settings import load_settings
from model.checkpoint import load_provenance

ImageSource = bytes | str | Path | np.ndarray  # an image file's bytes, its path, or pixels


class CaptionedImage(NamedTuple):
    """An image's caption; if the image could not be read, `reason` says why and the rest is null.

    `confidence` is the probability that the caption is exactly right; of a sentence, the geometric mean probability of
    its words.
    """

    caption: str | None
    confidence: float | None
    is_valid: bool | None
    alternatives: list[tuple[str, float]]  # other captions with their scores, best first
    reason: str | None = None


class Captioner:
    """A model that captions images as they arrive."""

    def __init__(
        self,
        checkpoint: str | Path,
        dataset: str = "molecules",
        overrides: Sequence[str] = (),
        conf: Path | str | None = None,
        environment: str = "local",
    ) -> None:
        """Load the model of a checkpoint directory, with the settings `prediction` of a dataset in an environment.

        `overrides` are `section.key=value`; `conf` is the folder of the settings, by default that of this checkout.
        Instead of a directory, models:/NAME@ALIAS or models:/NAME/VERSION names a model of MLflow's registry, which is
        fetched into the checkpoints of storage.root. Images are cleaned as those that the model learned from; the
        settings of cleaning say which are rejected.
        Raises CheckpointError, SettingsError, NotationError; of the registry MissingInputError, RuntimeMissingError.
        """
        settings = load_settings(dataset, environment, overrides, conf)
        if isinstance(checkpoint, str) and checkpoint.startswith(IN_THE_REGISTRY):
            checkpoint = resolve_model(settings.storage, checkpoint, dataset).directory
        directory = Path(checkpoint).resolve()
        self._captioner = ImageCaptioner(directory, settings.prediction)
        self._cleaning = cleaning_for(load_provenance(directory), settings.cleaning)

    @classmethod
    def pretrained(cls, dataset: str, overrides: Sequence[str] = (), conf: Path | str | None = None) -> "Captioner":
        """The model for a dataset that comes with the project. Raises SettingsError if there is none."""
        return cls(pretrained_model(dataset, "the dataset's model").directory, dataset, overrides, conf)

    def caption(self, images: Iterable[ImageSource]) -> list[CaptionedImage]:
        """One entry for each image, in the order given.

        Pixels are uint8: (H, W) or (H, W, 1) grey, (H, W, 3) RGB or (H, W, 4) RGB with opacity; 0 is ink. Raises
        TypeError for one image that is not in a list.
        """
        if isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | np.ndarray):
            raise TypeError("caption takes several images: write caption([image]) for one")
        return caption_images(self._captioner, self._cleaning, images)

    def look(self, image: ImageSource) -> AttentionMaps:
        """Where attention looked for each token as the image was read once. Raises CorruptImageError, OSError."""
        clean = clean_image(_as_bytes(image), self._cleaning)
        return self.look_at_cleaned(self._captioner.upright(clean.pixels, clean.rotation_deg, clean.larger).pixels)

    def look_at_cleaned(self, pixels: np.ndarray) -> AttentionMaps:
        """Where attention looked for each token as a cleaned image was read once: uint8 (H, W) or (H, W, 3) RGB."""
        return attention_maps(self._captioner, pixels)


def caption_images(
    captioner: ImageCaptioner, cleaning: CleaningSettings, images: Iterable[ImageSource]
) -> list[CaptionedImage]:
    """Clean and caption images as they arrive; one entry for each, in the order given."""
    images = list(images)
    cleaned: dict[int, CleanedImage] = {}
    entries: dict[int, CaptionedImage] = {}
    for index, image in enumerate(images):
        try:
            clean = clean_image(_as_bytes(image), cleaning)
            cleaned[index] = captioner.upright(clean.pixels, clean.rotation_deg, clean.larger)
        except (CorruptImageError, OSError) as error:
            entries[index] = CaptionedImage(None, None, None, [], reason=str(error))
    for index, captioned in zip(cleaned, captioner.caption(list(cleaned.values())), strict=True):
        entries[index] = CaptionedImage(*captioned)
    return [entries[index] for index in range(len(images))]


def _as_bytes(image: ImageSource) -> bytes:
    """The bytes of an image file. Raises OSError or CorruptImageError."""
    if isinstance(image, str | os.PathLike):
        try:
            return Path(image).read_bytes()
        except ValueError as error:  # a name that no file can have
            raise CorruptImageError("not_an_image", f"{str(image)!r}: {error}") from None
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if not isinstance(image, np.ndarray):
        raise CorruptImageError("not_an_image", f"{type(image).__name__} is not bytes, a path or an array")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    is_image = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    if image.dtype != np.uint8 or not is_image or not image.size:
        shapes = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
        detail = f"array of {image.dtype} {image.shape}: pixels must be uint8 of shape {shapes}"
        raise CorruptImageError("not_an_image", detail)
    png = io.BytesIO()
    Image.fromarray(image).save(png, "PNG", compress_level=1)
    return png.getvalue()
