"""Images of the lake's tables as files that a browser shows, found by their ids without reading other images."""

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import pyarrow as pa

from lib.errors import CorruptImageError
from lib.images.cleaning import encode_png
from lib.images.decoding import decode_image
from lib.reviewing.delta_rows import DeltaRows, Version, unreadable
from lib.sections.images import CleaningSettings
from lib.serving.refusals import RefusedRequestError

TABLES = {"raw": "images_raw", "clean": "images_clean"}
SHOWN_AS_THEY_ARE = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
ROWS_AT_A_TIME = 32
MAX_KEPT_BYTES = 1 << 26  # of images that were read, for those who go back and forth


class ImageFile(NamedTuple):
    """An image's bytes and their media type."""

    content: bytes
    media_type: str


class ImageFiles:
    """The images of images_raw and images_clean. May be used by threads."""

    def __init__(self, rows: DeltaRows, cleaning: CleaningSettings) -> None:
        self._rows = rows
        self._cleaning = cleaning
        self._row_of: dict[str, tuple[Version | None, dict[str, tuple[Any, int]]]] = {}
        self._kept: OrderedDict[tuple[str, Version | None, str], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def has(self, kind: str, image_id: str) -> bool:
        """Whether the image is there; kind is one of TABLES. Raises UnreadableTableError."""
        return image_id in self._rows_of(TABLES[kind])[1]

    def read(self, kind: str, image_id: str) -> bytes:
        """The image's bytes. Raises RefusedRequestError if it is not there, UnreadableTableError."""
        version, row_of = self._rows_of(TABLES[kind])
        if image_id not in row_of:
            raise RefusedRequestError(404, f"image {image_id[:200]!r} is not in {TABLES[kind]} any more")
        key = kind, version, image_id
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        content = _cell(TABLES[kind], *row_of[image_id])
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

    def _rows_of(self, name: str) -> tuple[Version | None, dict[str, tuple[Any, int]]]:
        """By image_id, the row group and the row in it; made again when the table has changed."""
        dataset, version = self._rows.dataset(name)
        known = self._row_of.get(name)
        if known is None or known[0] != version:
            row_of: dict[str, tuple[Any, int]] = {}
            try:
                for fragment in dataset.get_fragments() if dataset is not None else []:
                    for group in fragment.split_by_row_group():
                        ids = group.to_table(columns=["image_id"])["image_id"].to_pylist()
                        row_of |= {image_id: (group, row) for row, image_id in enumerate(ids)}
            except (OSError, pa.ArrowException) as error:
                raise unreadable(name, error) from error
            known = self._row_of[name] = version, row_of
        return known


def as_browsers_show(image: bytes, cleaning: CleaningSettings) -> ImageFile:
    """PNG, JPEG and GIF as they are, other images as PNG. Raises CorruptImageError."""
    for beginning, media_type in SHOWN_AS_THEY_ARE.items():
        if image.startswith(beginning):
            return ImageFile(image, media_type)
    in_colour = cleaning.model_copy(update={"color": "rgb", "is_normalised": False})
    return ImageFile(encode_png(decode_image(image, in_colour)), "image/png")


def _cell(name: str, group: Any, row: int) -> bytes:
    """The image of one row, reading no row after it."""
    try:
        for batch in group.to_batches(
            columns=["image"], batch_size=ROWS_AT_A_TIME, batch_readahead=0, fragment_readahead=0, use_threads=False
        ):
            if row < batch.num_rows:
                return batch["image"][row].as_py() or b""
            row -= batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise unreadable(name, error) from error
    raise AssertionError(f"{name} has fewer rows than it had")
