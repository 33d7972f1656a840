"""Thumbnails of arrived images, rejected ones too, whatever is wrong with them."""

import threading
from functools import lru_cache

from lib.errors import CorruptImageError
from lib.images.browser_images import ImageFile, thumbnail
from lib.lake.delta_rows import Version
from lib.reviewing.image_files import ImageFiles
from lib.sections.images import CleaningSettings

MAX_WIDTH_PX, MAX_HEIGHT_PX = 240, 160
NUM_KEPT = 256


class Thumbnails:
    """Thumbnails of the images of images_raw. May be used by threads; one image at a time is decoded."""

    def __init__(self, files: ImageFiles, cleaning: CleaningSettings) -> None:
        self._files = files
        self._cleaning = cleaning
        self._lock = threading.Lock()
        self._made = lru_cache(NUM_KEPT)(self._make)

    def file(self, image_id: str) -> ImageFile | None:
        """A PNG or JPEG; None if the image cannot be decoded. Raises RefusedRequestError if it is not there."""
        with self._lock:
            return self._made(self._files.version("raw"), image_id)

    def _make(self, _: Version | None, image_id: str) -> ImageFile | None:
        try:
            return thumbnail(self._files.read("raw", image_id), self._cleaning, MAX_WIDTH_PX, MAX_HEIGHT_PX)
        except CorruptImageError:
            return None
