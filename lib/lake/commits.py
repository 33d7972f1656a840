"""Commits that are retried after a conflict with another writer: two runs of one job, say, or two reviewers."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from lib.errors import ConcurrentWriteError

T = TypeVar("T")

logger = logging.getLogger(__name__)

MAX_TRIES = 20
MAX_PAUSE_S = 10.0


def retried(
    table: str, commit: Callable[[], T], conflicts: tuple[type[Exception], ...], first_pause_s: float, advice: str
) -> T:
    """Call `commit` until its write to the table meets no conflict; return its result.

    `commit` must open the table anew each time. Raises ConcurrentWriteError with the advice after MAX_TRIES conflicts.
    """
    for attempt in range(MAX_TRIES):
        try:
            return commit()
        except conflicts as error:
            logger.info("%s: another writer committed at the same time (%s): again", table, type(error).__name__)
            # By lot, or two writers would meet again.
            time.sleep(random.uniform(0.5, 1) * min(first_pause_s * 2**attempt, MAX_PAUSE_S))
    raise ConcurrentWriteError(
        f"table {table} was changed by others {MAX_TRIES} times while this one wrote to it: {advice}"
    )
