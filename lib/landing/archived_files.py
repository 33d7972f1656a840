"""Opens single files in archives; where they lie in an archive is looked for once."""

import functools
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import fsspec

from lib.landing.archives import archive_kind
from lib.landing.bounded_tar import is_plain_file, open_at, tar_members
from lib.landing.file_access import open_landed
from lib.landing.image_names import escaped
from lib.landing.zip_directory import ZipEntry, member_name, open_entry, zip_entries

Place = ZipEntry | tuple[int, int]  # of a member of a tar where its bytes begin, unpacked, and their number


@contextmanager
def open_member(path: str, member: str) -> Iterator[IO[bytes]]:
    """The bytes of the last file of an archive that has this name in `source`, as `tar x` and `unzip -o` would give it.

    Raises KeyError if there is none, OSError if the archive cannot be opened, and what damaged archives raise.
    """
    version = fsspec.filesystem(path.partition("://")[0]).ukey(path)
    place = _places(path, version, _ending(member))[member]
    with open_landed(path) as stream:
        if isinstance(place, ZipEntry):
            yield open_entry(stream, place)
        else:
            with open_at(stream, *place) as content:
                yield content


def files_of(path: str) -> Iterator[tuple[str, int, Place]]:
    """Names, as in `source`, sizes in bytes and places of the members of an archive, in its order."""
    is_zip = archive_kind(path) == "zip"
    with open_landed(path) as stream:
        if is_zip:
            yield from ((member_name(entry.name), entry.num_bytes, entry) for entry in zip_entries(stream))
        else:
            for one in tar_members(stream):
                if is_plain_file(one):
                    yield escaped(one.name), one.size, (one.offset_data, one.size)


@functools.lru_cache(maxsize=4)
def _places(path: str, _version: str, ending: str) -> dict[str, Place]:
    """Where the last files of each name with this ending lie, in this version of the archive (ukey of fsspec)."""
    return {name: place for name, _, place in files_of(path) if _ending(name) == ending}


def _ending(name: str) -> str:
    return posixpath.splitext(name)[1]
