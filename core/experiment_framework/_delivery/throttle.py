"""Warnings that may come a hundred thousand times a second, said once an interval."""

from __future__ import annotations

import time
from collections.abc import Callable

from experiment_framework._delivery.log import INFO, WARNING, write_log

__all__ = ["ThrottledLog"]


class ThrottledLog:
    """Logs one warning per kind and interval, and how many were left out in between.

    Args:
        interval: Seconds between two warnings of one kind.
        clock: Gives monotonic seconds.
    """

    def __init__(self, interval: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self.start_anew()
        # Now, in the thread that makes a data plane: a fork while another one imports would lock
        # the child out of what is being imported.
        import logging  # noqa: F401  # as said above

    def start_anew(self) -> None:
        """Forget what was logged: in a forked child, which logs and counts for itself."""
        self._next: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def report(self, kind: str, message: str, error: BaseException | None = None) -> None:
        """Log a warning, unless one of this kind was logged within the interval.

        ``kind`` is one of a fixed few words: each is remembered.
        """
        now = self._clock()
        if now < self._next.get(kind, now):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._next[kind] = now + self._interval
        left_out = self._left_out.pop(kind, 0)
        if left_out:
            message += f" ({left_out} more since the last such warning)"
        write_log(WARNING, message, error)

    def notice(self, message: str) -> None:
        """Log what an operator may want to know and need not act on."""
        write_log(INFO, message)
