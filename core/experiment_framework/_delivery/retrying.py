"""Says when a sink that failed may be tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

__all__ = ["OPENS_AFTER", "Pacing"]

OPENS_AFTER: Final = 5
"""Failures in a row after which a sink counts as down."""


class Pacing:
    """Longer and longer pauses between tries, with full jitter; it outlives the batch that failed.

    Once a sink counts as down, the breaker is open: each try is a probe, and one is made only every
    now and then, however many batches are given up meanwhile. The first success closes it.

    Args:
        first: Longest pause in seconds after the first failure; it doubles with each further one.
        longest: Longest pause in seconds of all.
        clock: Gives monotonic seconds.

    Attributes:
        failures: Failures in a row.
        next_try: The moment before which the sink is left alone.
    """

    def __init__(
        self, first: float, longest: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.failures = 0
        self.next_try = 0.0
        self._first = first
        self._longest = max(first, longest)
        self._clock = clock

    @property
    def is_open(self) -> bool:
        """Whether the sink counts as down."""
        return self.failures >= OPENS_AFTER

    def success(self) -> None:
        """Note that the sink took something."""
        self.failures = 0
        self.next_try = 0.0

    def failure(self) -> None:
        """Note that the sink failed."""
        self.failures += 1
        ceiling = min(self._longest, self._first * 2.0 ** min(self.failures - 1, 30))
        least = self._longest / 2 if self.is_open else 0.0
        pause = random.uniform(least, max(least, ceiling))  # noqa: S311  # jitter is no secret
        self.next_try = self._clock() + pause
