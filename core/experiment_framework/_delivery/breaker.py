"""Spares callers the wait for an endpoint that is down."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Breaker"]


class Breaker:
    """Opens after a wait that was in vain; tries again after a while.

    Args:
        retry_after: Seconds for which it stays open.
        clock: Gives monotonic seconds.
    """

    def __init__(
        self, retry_after: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._retry_after = retry_after
        self._clock = clock
        self._open_until: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether a wait is not worth it now."""
        open_until = self._open_until  # once: another thread may close it meanwhile
        return open_until is not None and self._clock() < open_until

    def record(self, *, success: bool) -> None:
        """Note how a wait went; the first success closes it."""
        self._open_until = None if success else self._clock() + self._retry_after
