"""The file system of the landing zone, paths there, and the bytes of its files."""

import functools
import gzip
import posixpath
from typing import IO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from lib.sections.landing import LandingSettings

GZIP_MAGIC = b"\x1f\x8b"


def relative_path(path: str, settings: LandingSettings) -> str:
    """The path of a landed file relative to the landing zone's root."""
    root = root_url(settings.path)
    return posixpath.basename(path) if path == root else path.removeprefix(root.rstrip("/") + "/")


@functools.lru_cache
def root_url(landing_path: str) -> str:
    """The landing zone's root as the sources of its files begin."""
    filesystem, root = opened(landing_path)
    return str(filesystem.unstrip_protocol(root))


def opened(landing_path: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a folder or URL, and its path there."""
    if "://" in landing_path:
        filesystem, root = fsspec.core.url_to_fs(landing_path)
        return filesystem, root
    # A folder with '::' in its name is no chain of file systems.
    local = LocalFileSystem()
    return local, local._strip_protocol(landing_path)


def open_landed(path: str) -> IO[bytes]:
    """A landed file's bytes, unpacked if they are gzip, whatever the file is called."""
    return unpacked(open_as_it_is(path))


def unpacked(file: IO[bytes]) -> IO[bytes]:
    """The bytes of a file, unpacked if they are gzip."""
    magic = file.read(len(GZIP_MAGIC))
    file.seek(0)
    return gzip.GzipFile(fileobj=file, mode="rb") if magic == GZIP_MAGIC else file  # type: ignore[return-value]


def open_as_it_is(path: str) -> IO[bytes]:
    """A landed file's bytes as they lie there."""
    # Not fsspec.open, which takes a file name with '::' in it for a chain of file systems.
    return fsspec.filesystem(path.partition("://")[0]).open(path, "rb")  # type: ignore[no-any-return]
