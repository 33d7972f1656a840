"""Images of the lake's tables as files that a browser shows, found by their ids without reading other images."""

import threading
from collections import OrderedDict
from collections.abc import Collection

from lib.errors import CorruptImageError
from lib.images.browser_images import ImageFile, as_browsers_show
from lib.lake.delta_rows import DeltaRows, Version
from lib.reviewing.row_index import RowIndex
from lib.sections.images import CleaningSettings
from lib.serving.refusals import RefusedRequestError

TABLES = {"raw": "images_raw", "clean": "images_clean"}
MAX_KEPT_BYTES = 1 << 26  # of images that were read, for those who go back and forth


class ImageFiles:
    """The images of images_raw and images_clean. May be used by threads."""

    def __init__(self, rows: DeltaRows, cleaning: CleaningSettings) -> None:
        self._index = {kind: RowIndex(rows, name) for kind, name in TABLES.items()}
        self._cleaning = cleaning
        self._kept: OrderedDict[tuple[str, Version | None, str], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def has(self, kind: str, image_id: str) -> bool:
        """Whether the image is there; kind is one of TABLES. Raises UnreadableTableError."""
        return self._index[kind].has(image_id)

    def known(self, kind: str, image_ids: Collection[str]) -> set[str]:
        """Which of the images are there. Raises UnreadableTableError."""
        return self._index[kind].known(image_ids)

    def version(self, kind: str) -> Version | None:
        """The images' table as it stands; None if there is none. Raises UnreadableTableError."""
        return self._index[kind].version()

    def read(self, kind: str, image_id: str) -> bytes:
        """The image's bytes. Raises RefusedRequestError if it is not there, UnreadableTableError."""
        key = kind, self.version(kind), image_id
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        content = self._index[kind].first_bytes(image_id, "image")
        if content is None:
            raise RefusedRequestError(404, f"image {image_id[:200]!r} is not in {TABLES[kind]} any more")
        with self._lock:
            self._kept[key] = content
            while sum(map(len, self._kept.values())) > MAX_KEPT_BYTES:
                self._kept.popitem(last=False)
        return content

    def file(self, kind: str, image_id: str) -> ImageFile:
        """The image as browsers show it: PNG, JPEG and GIF as they are, others as PNG. Raises as `read` does."""
        try:
            return as_browsers_show(self.read(kind, image_id), self._cleaning)
        except CorruptImageError as error:
            raise RefusedRequestError(422, f"image {image_id[:200]!r} cannot be shown ({error})") from None
