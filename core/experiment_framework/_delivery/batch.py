"""One batch on its way: what of it is left, in order, and what is to become of what fails."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from experiment_framework._delivery.splitting import Outcome, halves
from experiment_framework.envelope import Record

__all__ = ["Batch", "Fate"]

MOST_SUSPECTS: Final = 3
"""Records that may fail alone, one after the other, before the sink is taken to be down."""


class Fate(NamedTuple):
    """A record that is given up."""

    record: Record
    reason: str
    retryable: bool


class Batch:
    """Records that are written in pieces, one after the other: none overtakes another.

    Where the time to try again is over and the sink did not say what is wrong, one bad record may
    be what fails them all. So they are written in smaller and smaller pieces, up to it. It is given
    up alone; it is to blame if a later one arrives, and if none does, the sink is.

    Args:
        records: The records, in order.
        patience: Seconds for which they are tried again after the first failure.
        clock: Gives monotonic seconds.
    """

    def __init__(
        self,
        records: Sequence[Record],
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pieces = deque([records])
        self._patience = patience
        self._clock = clock
        self._deadline: float | None = None
        self._suspects: list[Fate] = []
        self._has_arrived = False

    @property
    def piece(self) -> Sequence[Record]:
        """What is to be written next; empty where nothing is left."""
        return self._pieces[0] if self._pieces else ()

    @property
    def deadline(self) -> float:
        """The moment of the last try."""
        return float("inf") if self._deadline is None else self._deadline

    def rest(self) -> list[Record]:
        """Give everything that has no fate, suspects too."""
        suspects = [suspect.record for suspect in self._suspects]
        return suspects + [record for piece in self._pieces for record in piece]

    def clear(self) -> list[Record]:
        """Give up what has no fate."""
        rest = self.rest()
        self._pieces.clear()
        self._suspects = []
        return rest

    def is_over(self) -> bool:
        """Whether the time to try again is over."""
        return self._clock() >= self.deadline

    def settle(self, outcome: Outcome) -> list[Fate]:
        """Take what became of the piece; give the records that are given up by it."""
        self._pieces.popleft()
        fates = [Fate(record, reason, retryable=False) for record, reason in outcome.refused]
        if outcome.delivered:
            self._has_arrived = True
            fates = self._blamed() + fates
        if not outcome.rest:
            return fates if self._pieces else fates + self._blamed()
        if outcome.is_too_large and len(outcome.rest) > 1:
            self._pieces.extendleft(reversed(halves(outcome.rest)))
            return fates
        if self._deadline is None or outcome.delivered:
            self._deadline = self._clock() + self._patience
            self._has_arrived = False
        self._pieces.appendleft(outcome.rest)
        return fates

    def give_up(self, outcome: Outcome) -> list[Fate]:
        """Give the records that are given up because the time to try again is over."""
        reason = outcome.reason or ""
        if outcome.is_told or not self._patience:
            return [Fate(record, reason, retryable=True) for record in self.clear()]
        piece = self._pieces.popleft()
        if len(piece) > 1:
            self._pieces.extendleft(reversed(halves(piece)))
            return []
        self._suspects.append(Fate(piece[0], reason, retryable=True))
        if not self._pieces:
            return self._blamed()
        if len(self._suspects) < MOST_SUSPECTS and self._clock() < self.deadline + self._patience:
            return []
        return [Fate(record, reason, retryable=True) for record in self.clear()]

    def _blamed(self) -> list[Fate]:
        """Give the suspects up: for good where others arrived meanwhile."""
        suspects, self._suspects = self._suspects, []
        if not self._has_arrived:
            return suspects
        return [
            Fate(suspect.record, f"it fails where others arrive: {suspect.reason}", retryable=False)
            for suspect in suspects
        ]
