"""Accounting for every event.

Each thread counts into a cell of its own, so that counting takes no lock and loses nothing; reading
adds the cells up.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from experiment_framework.results import FlushResult, Stats

__all__ = ["Cell", "Ledger"]

_COUNTERS: Final = (
    "delivered",
    "failed",
    "accepted",
    "sampled_out",
    "disabled",
    "refused",
    "offered",
)


class Cell:
    """The counts of one thread."""

    __slots__ = (*_COUNTERS, "dropped")

    delivered: int
    failed: int
    accepted: int
    sampled_out: int
    disabled: int
    refused: int
    offered: int

    def __init__(self) -> None:
        for name in _COUNTERS:
            setattr(self, name, 0)
        self.dropped: Counter[str] = Counter()

    def add(self, other: Cell) -> None:
        """Take over the counts of a cell whose thread has ended."""
        for name in _COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.dropped.update(other.dropped)


class _Owner:
    """Lives as long as its thread does."""

    __slots__ = ("__weakref__", "cell")

    def __init__(self, cell: Cell) -> None:
        self.cell = cell


class Ledger:
    """The counts of one data plane.

    Args:
        outstanding: Counts accepted records without a fate, for a backplane that reports failures
            only; what is delivered then follows from it. None where each delivery is reported.
    """

    def __init__(self, outstanding: Callable[[], int] | None) -> None:
        self._outstanding = outstanding
        self._local = threading.local()
        self._lock = threading.RLock()
        self._cells: dict[weakref.ref[_Owner], Cell] = {}
        self._ended = Cell()
        self._delivered = 0

    def cell(self) -> Cell:
        """Give the calling thread's own counts."""
        try:
            owner: _Owner = self._local.owner
        except AttributeError:
            owner = self._local.owner = _Owner(Cell())
            with self._lock:
                self._fold_ended()
                self._cells[weakref.ref(owner)] = owner.cell
        return owner.cell

    def stats(self) -> Stats:
        """Add everything up.

        The order makes every term a safe estimate while other threads publish: what an event passes
        last is read first, so that nothing is counted at its end before it is counted at its
        beginning.
        """
        with self._lock:
            self._fold_ended()
            cells = [self._ended, *self._cells.values()]
            accepted = _sum(cells, "accepted")
            outstanding = self._outstanding() if self._outstanding else 0
            delivered = _sum(cells, "delivered")
            failed = _sum(cells, "failed")
            if self._outstanding:
                delivered = accepted - failed - outstanding
            self._delivered = delivered = max(delivered, self._delivered)
            dropped: Counter[str] = Counter()
            for cell in cells:
                dropped.update(cell.dropped.copy())
            sampled_out = _sum(cells, "sampled_out")
            disabled = _sum(cells, "disabled")
            refused = _sum(cells, "refused")
            offered = _sum(cells, "offered")
        settled = refused + disabled + sampled_out + dropped.total() + failed + delivered
        return Stats(
            offered=offered,
            recovered=0,
            refused=refused,
            disabled=disabled,
            sampled_out=sampled_out,
            dropped=dict(dropped),
            failed=failed,
            delivered=delivered,
            pending=offered - settled,
            spooled=0,
        )

    def result(self) -> FlushResult:
        """Give the part of the counts that a flush answers."""
        stats = self.stats()
        return FlushResult(
            delivered=stats.delivered,
            failed=stats.failed,
            pending=stats.pending,
            dropped=stats.dropped_total,
        )

    def _fold_ended(self) -> None:
        for owner in [owner for owner in self._cells if owner() is None]:
            self._ended.add(self._cells.pop(owner))


def _sum(cells: Iterable[Cell], name: str) -> int:
    return sum(getattr(cell, name) for cell in cells)
