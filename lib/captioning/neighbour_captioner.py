"""Nearest neighbours as second captioner: the caption of the train image with the most similar features."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from lib.captioning.second_captioner import NEAREST_NEIGHBOURS, SecondCaption, failed
from lib.captions.nearest_image import central_caption, direction_of, nearest
from lib.captions.train_images import read_train_images
from lib.errors import CorruptImageError, SettingsError
from lib.images.cleaning import clean_image
from lib.images.frozen_features import encoder_version_of, extract
from lib.lake.delta_rows import DeltaRows
from lib.sections.images import CleaningSettings
from lib.sections.lake import StorageSettings
from model.checkpoint import load_captioner, load_config

NOT_COMPARED = "this image could not be compared with train images"


class NeighbourCaptioner:
    """The train images of a lake as a model's frozen encoder sees them, and that encoder for images that arrive."""

    def __init__(self, checkpoint: Path, cleaning: CleaningSettings, storage: StorageSettings) -> None:
        """Read the lake's features once: a direction for each of at most NUM_CANDIDATES train images stays in memory.

        Raises SettingsError if the model's encoder has no name in the tables or these are in a catalog,
        MissingInputError if the lake has no features of it, UnreadableTableError, CheckpointError, EncoderWeightsError.
        """
        version = encoder_version_of(checkpoint)
        if version is None:
            raise SettingsError(
                f"{NEAREST_NEIGHBOURS} compares features of a frozen encoder, and the encoder of model "
                f"{checkpoint.name} is not frozen, or its checkpoint does not name it: name another second captioner, "
                "or none"
            )
        if storage.catalog:
            raise SettingsError(f"storage.catalog is set: {NEAREST_NEIGHBOURS} reads tables in storage.root alone")
        self._cleaning = cleaning
        self._candidates, self._captions = read_train_images(DeltaRows(storage.root), version)
        self._encoder = load_captioner(checkpoint)[0].encoder
        self._num_channels = load_config(checkpoint).num_channels
        self._caption_of = lru_cache(maxsize=10_000)(self._central_caption)

    def caption(self, images: Sequence[bytes]) -> list[SecondCaption]:
        """One entry for each image file, in the order given; `failed` for one that cannot be read."""
        pixels: dict[int, np.ndarray] = {}
        entries: dict[int, SecondCaption] = {}
        for index, image in enumerate(images):
            try:
                pixels[index] = clean_image(image, self._cleaning).pixels
            except CorruptImageError as error:
                entries[index] = failed(str(error))
        for index, neighbour in self._neighbours(pixels).items():
            entries[index] = failed(NOT_COMPARED) if neighbour is None else SecondCaption(self._caption_of(neighbour))
        return [entries[index] for index in range(len(images))]

    def _neighbours(self, pixels: Mapping[int, np.ndarray]) -> dict[int, str | None]:
        """The id of each image's nearest train image; None if its features are no numbers."""
        if not pixels:
            return {}
        features = extract(list(pixels.values()), self._encoder, self._num_channels)
        directions = np.stack([direction_of(one) for one in features])
        names = nearest(directions, np.full(len(directions), "", object), self._candidates)
        return dict(zip(pixels, names, strict=True))

    def _central_caption(self, image_id: str) -> str:
        return central_caption(self._captions[image_id])
