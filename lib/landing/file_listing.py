"""Lists the files below a folder: through fsspec, and on this machine with linked folders."""

import errno
import os
from collections.abc import Iterator
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from lib.hidden_files import is_hidden


def list_files(
    filesystem: AbstractFileSystem, root: str, left_out: str | None
) -> Iterator[tuple[str, dict[str, Any] | OSError]]:
    """(path, what fsspec says of the file, or the error that keeps it from being read), sorted by path.

    The local folder `left_out` and all that lies in it are passed over, unless the root lies in it.
    """
    if not isinstance(filesystem, LocalFileSystem) or filesystem.isfile(root):
        yield from sorted(filesystem.find(root, detail=True).items())
        return
    unreadable: list[OSError] = []
    paths = sorted(_local_files(root, left_out, unreadable))
    yield from ((path, _local_info(filesystem, path)) for path in paths)
    yield from ((str(error.filename), error) for error in unreadable)


def _local_info(filesystem: LocalFileSystem, path: str) -> dict[str, Any] | OSError:
    try:
        info: dict[str, Any] = filesystem.info(path)
    except OSError as error:  # such as a link to a file that is not there
        return error
    if info["type"] != "file":
        return OSError("a pipe, socket or device, not a file")
    return (
        info
        if os.access(path, os.R_OK, effective_ids=True)
        else PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    )


def _local_files(root: str, left_out: str | None, unreadable: list[OSError]) -> Iterator[str]:
    """Paths of all files. Folders that cannot be read are collected.

    A folder is entered once, whatever links lead to it, and once more if another path to it is hidden.
    """
    entered: set[tuple[int, int, bool]] = set()
    real_root = os.path.realpath(root)
    passed_over = os.path.realpath(left_out) if left_out else None
    if passed_over and _lies_in(real_root, passed_over):
        passed_over = None
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=unreadable.append):
        status = os.stat(folder)
        identity = status.st_dev, status.st_ino, is_hidden(os.path.relpath(folder, root))
        if identity in entered or (passed_over and _lies_in(os.path.realpath(folder), passed_over)):
            subfolders.clear()
            continue
        entered.add(identity)
        subfolders[:] = sorted(name for name in subfolders if not _is_link_back(os.path.join(folder, name), real_root))
        yield from (os.path.join(folder, name) for name in names)


def _is_link_back(folder: str, real_root: str) -> bool:
    """Whether a folder is a link to one that is listed under its own path, or that holds the root."""
    if not os.path.islink(folder):
        return False
    target = os.path.realpath(folder)
    shared = os.path.commonpath([target, real_root])
    return shared == target or (shared == real_root and not is_hidden(os.path.relpath(target, real_root)))


def _lies_in(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder
