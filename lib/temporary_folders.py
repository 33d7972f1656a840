"""Temporary files: in a folder whose path is short enough for the sockets that Ray and Python's processes put there."""

import logging
import os
import tempfile

from lib.errors import RuntimeMissingError

logger = logging.getLogger(__name__)

SHORT = "/tmp"
# A socket's path has at most 107 bytes, of which ray_cluster's folder, Ray's session and socket take up to 79.
MAX_BYTES = 28


def use_short_temporary_folder() -> None:
    """Let this process and its children put temporary files into /tmp where TMPDIR is too long for sockets.

    Raises RuntimeMissingError if nothing can be written there.
    """
    folder = tempfile.gettempdir()
    if len(os.fsencode(folder)) <= MAX_BYTES:
        return
    if not os.access(SHORT, os.W_OK | os.X_OK):
        raise RuntimeMissingError(
            f"the temporary folder {folder} has more than {MAX_BYTES} bytes, too many for sockets, and "
            f"{SHORT} cannot be written: set TMPDIR to a folder with a shorter path"
        )
    logger.info("temporary files go to %s: the path of %s is too long for sockets", SHORT, folder)
    os.environ["TMPDIR"] = tempfile.tempdir = SHORT
