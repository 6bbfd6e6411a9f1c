"""Numbers that were passed over: another transaction may have taken them and not ended yet.

A database gives a row its number before the transaction commits, so a higher one may be seen first.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["Gaps"]

MOST: Final = 500
"""Ranges that are kept; beyond that the oldest ones are given up."""


class Gaps:
    """Ranges of missing numbers that may still turn up.

    Args:
        patience: Seconds for which they may.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._ranges: list[tuple[int, int, float]] = []

    def note(self, position: int, newest: int, found: Iterable[int]) -> None:
        """Note what is missing.

        Args:
            position: The number after which was looked.
            newest: The last number that was looked for.
            found: Those that are there, in order.
        """
        expires = time.monotonic() + self._patience
        last = position
        for number in (*found, newest + 1):
            if number > last + 1:
                self._ranges.append((last + 1, number - 1, expires))
            last = number
        del self._ranges[:-MOST]

    def ranges(self) -> list[tuple[int, int]]:
        """Give the ranges that may still turn up, first and last number included."""
        now = time.monotonic()
        self._ranges = [each for each in self._ranges if each[2] > now]
        return [(first, last) for first, last, _ in self._ranges]

    def fill(self, numbers: Sequence[int]) -> None:
        """Take out numbers that turned up."""
        for number in numbers:
            for index, (first, last, expires) in enumerate(self._ranges):
                if first <= number <= last:
                    parts = ((first, number - 1, expires), (number + 1, last, expires))
                    self._ranges[index : index + 1] = [part for part in parts if part[0] <= part[1]]
                    break
