"""Commits that are retried after a conflict with another run: two runs of one job, or maintenance beside a job."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    DeltaConcurrentModificationException,
    MetadataChangedException,
    ProtocolChangedException,
)

from lib.errors import ConcurrentWriteError

T = TypeVar("T")

logger = logging.getLogger(__name__)

CONFLICTS = (  # Delta's classes have no base of their own in Python
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    DeltaConcurrentModificationException,
    MetadataChangedException,
    ProtocolChangedException,
)
MAX_TRIES = 10
MAX_PAUSE_S = 10.0


def committed(table: str, commit: Callable[[], T]) -> T:
    """Call `commit` until its write to the table meets no conflict; return its result.

    `commit` must open the table anew each time. Raises ConcurrentWriteError after MAX_TRIES conflicts.
    """
    for attempt in range(1, MAX_TRIES + 1):
        try:
            return commit()
        except CONFLICTS as error:
            logger.info("%s: another run committed at the same time (%s): try %d", table, type(error).__name__, attempt)
            # By lot, or two runs would meet again.
            time.sleep(random.uniform(0.5, 1) * min(0.25 * 2**attempt, MAX_PAUSE_S))
    raise ConcurrentWriteError(
        f"table {table} was changed by other runs {MAX_TRIES} times while this one wrote to it: "
        "let them end, then start this one again"
    )
