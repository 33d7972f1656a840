"""How many requests each key, or each address without one, may make in a minute."""

import time
from collections import Counter

WINDOW_S = 60


class RequestRates:
    """Counts requests of the current minute."""

    def __init__(self, max_per_minute: int) -> None:
        self.max_per_minute = max_per_minute
        self._window = 0
        self._counts: Counter[str] = Counter()

    def seconds_to_wait(self, who: str) -> float | None:
        """Count a request; None if it may be answered, else the seconds until the next minute."""
        now = time.monotonic()
        if (window := int(now // WINDOW_S)) != self._window:
            self._window = window
            self._counts.clear()
        self._counts[who] += 1
        return WINDOW_S - now % WINDOW_S if self._counts[who] > self.max_per_minute else None
