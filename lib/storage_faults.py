"""One-sentence errors for full and read-only disks, from errors of Python, Java or Spark's workers."""

import errno
import os

from lib.errors import StorageError

WHAT_TO_DO = {
    os.strerror(errno.ENOSPC): "make room",
    os.strerror(errno.EDQUOT): "make room, or ask for more",
    os.strerror(errno.EROFS): "make it writable",
    "Mkdirs failed to create": "make storage.root writable",  # all that Hadoop says of a folder that cannot be made
    "DELTA_CANNOT_CREATE_LOG_PATH": "make storage.root writable",  # and Delta of a table's
}


def storage_fault(message: str) -> StorageError | None:
    """The error to raise for an error of this message if it is about a full or read-only disk, else None."""
    for fault, what_to_do in WHAT_TO_DO.items():
        if fault in message:
            return StorageError(f"{fault}: {what_to_do}, then run the same command again; nothing is lost")
    return None
