"""Captions as COCO distributes them: JSON with lists `images` (id, file_name) and `annotations` (image_id, caption).

A file is read entry by entry. In memory are one entry and the names of the images.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TextIO

from lib.errors import LandingZoneError
from lib.landing.caption_rows import (
    MAX_DETAIL_CHARS,
    MAX_LINE_CHARS,
    MAX_NAME_SHOWN,
    UNREADABLE,
    CaptionRow,
    other_notation,
)
from lib.landing.image_names import image_id_of, image_path_of
from lib.sections.landing import LandingSettings

CHARS_AT_A_TIME = 2**16
_DECODER = json.JSONDecoder()

Opened = Callable[[], AbstractContextManager[TextIO]]


def check_coco(opened: Opened, source: str) -> None:
    """Read a file to its end. Raises LandingZoneError with one sentence if it is damaged or no caption file of COCO."""
    with opened() as text:
        numbers = Counter(name for name, _ in _entries(text, source))
    if numbers["images"] and numbers["annotations"] and not file_names(opened, source):
        raise LandingZoneError(
            f"{source} lists images, and none of them has an id and a file_name, as those of COCO's caption files have"
        )
    if not numbers["images"] or not numbers["annotations"]:
        raise LandingZoneError(
            f"{source} is JSON without the lists images and annotations, as COCO's caption files have them: set "
            "landing.captions_files if this file holds no captions"
        )


def coco_rows(
    opened: Opened, source: str, landing: LandingSettings, caption_prefixes: tuple[str, ...]
) -> Iterator[CaptionRow]:
    """The entries of `annotations`, those that cannot be used with a reason. Line breaks in a caption become blanks."""
    names = file_names(opened, source)
    with opened() as text:
        annotations = (entry for name, entry in _entries(text, source) if name == "annotations")
        for position, entry in enumerate(annotations, start=1):
            fields = entry if isinstance(entry, dict) else {}
            known, caption = fields.get("image_id"), fields.get("caption")
            name = names.get(_as_text(known), "") if known is not None else ""
            image_id = image_id_of(name, landing) if not UNREADABLE.search(name) else ""
            caption = " ".join(caption.split()) if isinstance(caption, str) else ""
            reason, detail = None, json.dumps(entry)[:MAX_DETAIL_CHARS]
            if UNREADABLE.search(caption) or UNREADABLE.search(name):
                reason = "unreadable_row"
            elif known is not None and not name:
                reason, detail = "unlisted_image", f"the file lists no image {known!r}: {detail}"[:MAX_DETAIL_CHARS]
            elif not image_id or not caption:
                reason = "empty_caption"
            elif not caption.startswith(caption_prefixes):
                reason, detail = "other_notation", other_notation(caption, caption_prefixes)
            is_kept = reason in (None, "other_notation")
            yield CaptionRow(
                image_id or f"row {position}",
                caption if is_kept else None,
                source,
                position,
                reason,
                detail if reason else None,
                image_path_of(name, landing) if image_id else "",
            )


def file_names(opened: Opened, source: str) -> dict[str, str]:
    """The file name of each image that has an id, by this id as text.

    Raises LandingZoneError with one sentence if an id has two names, or the file is damaged.
    """
    names: dict[str, str] = {}
    with opened() as text:
        for name, entry in _entries(text, source):
            if name != "images" or not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
                continue
            if entry.get("id") is None:
                continue
            file_name, image_id = entry["file_name"], _as_text(entry["id"])
            if names.setdefault(image_id, file_name) != file_name:
                twice, first, other = (shown[:MAX_NAME_SHOWN] for shown in (image_id, names[image_id], file_name))
                raise LandingZoneError(f"{source} lists image {twice} twice, as {first} and as {other}: take one out")
    return names


def _as_text(image_id: Any) -> str:
    """An id of an image, equal for equal numbers: 1.0 is 1."""
    is_whole = isinstance(image_id, float) and image_id.is_integer()
    return str(int(image_id) if is_whole else image_id)


def _entries(text: TextIO, source: str) -> Iterator[tuple[str, Any]]:
    """(name of the list, entry) of all lists in the outermost object, one by one; other members are passed over."""
    stream = _JsonStream(text, source)
    stream.take("{")
    while not stream.is_next("}"):
        name = stream.value()
        stream.take(":")
        if stream.is_next("["):
            while not stream.is_next("]"):
                yield name, stream.value()
                stream.between("]")
        else:
            stream.value()
        stream.between("}")
    stream.end()


class _JsonStream:
    """Values of a JSON text one after the other, from as little of it as they need."""

    def __init__(self, text: TextIO, source: str) -> None:
        self._text, self._source = text, source
        self._buffer, self._index, self._is_all = "", 0, False

    def value(self) -> Any:
        """The next value as a whole."""
        self._peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._index)
                if end < len(self._buffer) or self._is_all:  # else a number may go on
                    self._index = end
                    return value
            except (ValueError, RecursionError) as error:
                if self._is_all:
                    raise self._fault(str(error)) from None
            if len(self._buffer) - self._index > MAX_LINE_CHARS + CHARS_AT_A_TIME:
                raise self._fault(f"an entry is damaged, or longer than {MAX_LINE_CHARS:,} characters")
            self._read()

    def take(self, sign: str) -> None:
        """Go past a sign that must come."""
        if not self.is_next(sign):
            raise self._fault(f"{sign!r} is missing before {self._buffer[self._index : self._index + 20]!r}")

    def is_next(self, sign: str) -> bool:
        """Whether this sign comes; if so, go past it."""
        is_next = self._peek() == sign
        self._index += is_next
        return is_next

    def between(self, end: str) -> None:
        """Go past the comma to another value, or stay before the end."""
        if self._peek() != end:
            self.take(",")
            if self._peek() == end:
                raise self._fault(f"a comma stands before {end!r}")

    def end(self) -> None:
        """Make sure that nothing follows."""
        if self._peek():
            what = f"more follows its end: {self._buffer[self._index : self._index + 20]!r}"
            raise self._fault(f"{what}. JSON Lines are not read: write it as COCO has it, or as CSV")

    def _peek(self) -> str:
        """The next sign that is no blank; '' at the end."""
        while True:
            while self._index < len(self._buffer):
                if not self._buffer[self._index].isspace():
                    return self._buffer[self._index]
                self._index += 1
            if self._is_all:
                return ""
            self._read()

    def _read(self) -> None:
        more = self._text.read(CHARS_AT_A_TIME)
        self._is_all = not more
        self._buffer, self._index = self._buffer[self._index :] + more, 0

    def _fault(self, what: str) -> LandingZoneError:
        return LandingZoneError(f"{self._source} is no whole JSON: {what}")
