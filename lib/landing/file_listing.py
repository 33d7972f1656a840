"""Lists the files below a folder: through fsspec, and on this machine with linked folders."""

import errno
import os
from collections.abc import Iterator
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

SERVICE_FOLDERS = {  # in lower case
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "@sharebin",
    "@tmp",
    "__macosx",
    "lost+found",
    "network trash folder",
    "system volume information",
    "~snapshot",
}


def is_hidden(path: str) -> bool:
    """Whether a file or one of its folders begins with a dot, or a folder is one that systems make for themselves."""
    parts = path.replace("\\", "/").split("/")
    return any((part.startswith(".") and part not in (".", "..")) or part.lower() in SERVICE_FOLDERS for part in parts)


def list_files(filesystem: AbstractFileSystem, root: str) -> Iterator[tuple[str, dict[str, Any] | OSError]]:
    """(path, what fsspec says of the file, or the error that keeps it from being read), sorted by path."""
    if not isinstance(filesystem, LocalFileSystem) or filesystem.isfile(root):
        yield from sorted(filesystem.find(root, detail=True).items())
        return
    unreadable: list[OSError] = []
    paths = sorted(_local_files(root, unreadable))
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


def _local_files(root: str, unreadable: list[OSError]) -> Iterator[str]:
    """Paths of all files. Folders that cannot be read are collected.

    A folder is entered once, whatever links lead to it, and once more if another path to it is hidden.
    """
    entered: set[tuple[int, int, bool]] = set()
    real_root = os.path.realpath(root)
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=unreadable.append):
        status = os.stat(folder)
        identity = status.st_dev, status.st_ino, is_hidden(os.path.relpath(folder, root))
        if identity in entered:
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
