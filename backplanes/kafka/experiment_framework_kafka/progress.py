"""Since when records wait, from counts alone."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Progress"]


class Progress:
    """Follows the counts of accepted and outstanding records.

    Which record waits longest is not known. But while fewer are settled than had been accepted at
    some moment, at least one of those still waits: so that moment is how long it is, at least.

    Args:
        clock: Gives monotonic seconds.

    Attributes:
        last_delivery: When a delivery was last noticed, in the clock's seconds.
        waiting_since: A moment from which on a record has been waiting; None where none waits.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.last_delivery: float | None = None
        self.waiting_since: float | None = None
        self._clock = clock
        self._delivered = 0
        self._goal = 0

    def observe(self, accepted: int, outstanding: int, failed: int) -> None:
        """Note the counts of now."""
        now = self._clock()
        settled = accepted - outstanding
        delivered = settled - failed
        # The client counts waiting log lines as outstanding: when they go, nothing was delivered.
        if delivered > self._delivered:
            self.last_delivery = now
            self._delivered = delivered
        if outstanding <= 0:
            self.waiting_since = None
        elif self.waiting_since is None or settled >= self._goal:
            self.waiting_since = now
            self._goal = accepted
