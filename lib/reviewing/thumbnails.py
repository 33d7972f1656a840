"""Thumbnails of arrived images, rejected ones too, whatever is wrong with them."""

import threading
from functools import lru_cache

import cv2

from lib.errors import CorruptImageError
from lib.images.cleaning import encode_png
from lib.images.decoding import decode_image
from lib.lake.delta_rows import Version
from lib.reviewing.image_files import ImageFile, ImageFiles
from lib.sections.images import CleaningSettings

MAX_WIDTH_PX, MAX_HEIGHT_PX = 240, 160
NUM_KEPT = 256


class Thumbnails:
    """Thumbnails of the images of images_raw. May be used by threads; one image at a time is decoded."""

    def __init__(self, files: ImageFiles, cleaning: CleaningSettings) -> None:
        self._files = files
        self._cleaning = cleaning.model_copy(update={"color": "rgb", "is_normalised": False})
        self._lock = threading.Lock()
        self._made = lru_cache(NUM_KEPT)(self._make)

    def file(self, image_id: str) -> ImageFile | None:
        """A PNG; None if the image cannot be decoded. Raises RefusedRequestError if it is not there."""
        with self._lock:
            return self._made(self._files.version("raw"), image_id)

    def _make(self, _: Version | None, image_id: str) -> ImageFile | None:
        try:
            pixels = decode_image(self._files.read("raw", image_id), self._cleaning)
        except CorruptImageError:
            return None
        height, width = pixels.shape[:2]
        scale = min(MAX_WIDTH_PX / width, MAX_HEIGHT_PX / height, 1.0)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return ImageFile(encode_png(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)), "image/png")
