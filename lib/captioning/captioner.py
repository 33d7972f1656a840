"""Pictures to captions from Python, without Spark and without tables.

from lib.captioning.captioner import Captioner
for picture in Captioner.pretrained("molecules").caption(["drawing.png"]):
    print(picture.caption, picture.confidence)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.captioning.picture_captioning import PictureCaptioner
from lib.captions.checkpoint_fit import learned_cleaning
from lib.errors import CorruptImageError
from lib.images.cleaning import clean_image, encode_png
from lib.lake.models import pretrained_model
from lib.sections.images import CleaningSettings
from lib.settings import load_settings
from model.checkpoint import load_provenance

PictureSource = bytes | str | Path | np.ndarray  # a picture file's bytes, its path, or pixels


class CaptionedPicture(NamedTuple):
    """A picture's caption; if the picture could not be read, `reason` says why and the rest is null."""

    caption: str | None
    confidence: float | None  # probability that the caption is right
    is_valid: bool | None
    alternatives: list[tuple[str, float]]  # other captions with their scores, best first
    reason: str | None = None


class Captioner:
    """A model that captions pictures as they arrive."""

    def __init__(
        self,
        checkpoint: str | Path,
        dataset: str = "molecules",
        overrides: Sequence[str] = (),
        conf: Path | str | None = None,
    ) -> None:
        """Load the model of a checkpoint directory, with the settings `prediction` of a dataset.

        `overrides` are `section.key=value`; `conf` is the folder of the settings, by default that of this checkout.
        Pictures are cleaned as those that the model learned from. Raises CheckpointError, SettingsError, NotationError.
        """
        settings = load_settings(dataset, "local", overrides, conf)
        self._captioner = PictureCaptioner(Path(checkpoint), settings.prediction)
        self._cleaning = learned_cleaning(load_provenance(Path(checkpoint))) or settings.cleaning

    @classmethod
    def pretrained(cls, dataset: str, overrides: Sequence[str] = (), conf: Path | str | None = None) -> "Captioner":
        """The model for a dataset that comes with the project. Raises SettingsError if there is none."""
        return cls(pretrained_model(dataset, "the dataset's model").directory, dataset, overrides, conf)

    def caption(self, pictures: Sequence[PictureSource]) -> list[CaptionedPicture]:
        """One entry for each picture, in the order given.

        Pixels are uint8: (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGB with opacity; 0 is ink.
        """
        return caption_pictures(self._captioner, self._cleaning, pictures)


def caption_pictures(
    captioner: PictureCaptioner, cleaning: CleaningSettings, pictures: Sequence[PictureSource]
) -> list[CaptionedPicture]:
    """Clean and caption pictures as they arrive; one entry for each, in the order given."""
    pixels: dict[int, np.ndarray] = {}
    entries: dict[int, CaptionedPicture] = {}
    for index, picture in enumerate(pictures):
        try:
            pixels[index] = clean_image(_as_bytes(picture), cleaning).pixels
        except (CorruptImageError, OSError) as error:
            entries[index] = CaptionedPicture(None, None, None, [], reason=str(error))
    for index, captioned in zip(pixels, captioner.caption(list(pixels.values())), strict=True):
        entries[index] = CaptionedPicture(*captioned)
    return [entries[index] for index in range(len(pictures))]


def _as_bytes(picture: PictureSource) -> bytes:
    """The bytes of a picture file. Raises OSError or CorruptImageError."""
    if isinstance(picture, str | Path):
        return Path(picture).read_bytes()
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    if not isinstance(picture, np.ndarray):
        raise CorruptImageError("not_an_image", f"{type(picture).__name__} is no bytes, path or array")
    is_picture = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (3, 4))
    if picture.dtype != np.uint8 or not is_picture or not picture.size:
        raise CorruptImageError("not_an_image", f"array of {picture.dtype} {picture.shape}: uint8 pixels are read")
    if picture.ndim == 3 and picture.shape[2] == 4:
        opacity = picture[..., 3:].astype(np.float32) / 255
        picture = (picture[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)
    return encode_png(picture)
