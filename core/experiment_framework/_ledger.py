"""Accounting for every event.

Each thread counts into a cell of its own, so that counting takes no lock and loses nothing; reading
adds the cells up.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from experiment_framework._record import Record
from experiment_framework.results import Breakdown, Stats

__all__ = ["Cell", "Ledger"]

Kind: TypeAlias = tuple[str, str | None, str | None]
"""Event type, experiment and variant."""

MOST_KINDS: Final = 1000
"""Kinds that are told apart; the rest of a type counts together."""

_COUNTERS: Final = (
    "delivered",
    "failed",
    "returned",
    "accepted",
    "sampled_out",
    "disabled",
    "refused",
    "offered",
)
_BY_KIND: Final = ("offered_by_kind", "dropped_by_kind", "failed_by_kind")


class Cell:
    """The counts of one thread.

    A signal handler or a finalizer of that thread may count in the midst of a count: so nothing is
    called between reading a number and writing it.

    ``accepted`` counts records handed to the backplane, from disk too; ``returned`` those that came
    back from it to the disk.
    """

    __slots__ = (*_COUNTERS, *_BY_KIND, "dropped")

    delivered: int
    failed: int
    returned: int
    accepted: int
    sampled_out: int
    disabled: int
    refused: int
    offered: int
    # Plain dicts: a Counter takes twice as long, and each publish counts here.
    offered_by_kind: dict[Kind, int]
    dropped_by_kind: dict[Kind, int]
    failed_by_kind: dict[Kind, int]

    def __init__(self) -> None:
        for name in _COUNTERS:
            setattr(self, name, 0)
        for name in _BY_KIND:
            setattr(self, name, {})
        self.dropped: dict[str, int] = {}

    def note_offered(self, record: Record) -> None:
        """Count a record under its kind."""
        kind = (record.event_type, record.experiment_name, record.variant_key)
        try:
            self.offered_by_kind[kind] += 1
        except KeyError:
            _add(self.offered_by_kind, kind, 1)

    def note_dropped(self, record: Record, reason: str) -> None:
        """Count a record that was not accepted."""
        self.note_dropped_unmade(reason)
        _add(self.dropped_by_kind, _kind(record), 1)

    def note_dropped_unmade(self, reason: str) -> None:
        """Count an event that was dropped before there was a record of it."""
        self.dropped.setdefault(reason, 0)
        self.dropped[reason] += 1

    def note_discarded(self, record: Record) -> None:
        """Count under its kind a record that the disk lost, which is counted there."""
        _add(self.dropped_by_kind, _kind(record), 1)

    def note_failed(self, record: Record) -> None:
        """Count an accepted record that will never arrive."""
        self.failed += 1
        _add(self.failed_by_kind, _kind(record), 1)

    def add(self, other: Cell) -> None:
        """Take over the counts of a cell whose thread has ended."""
        for name in _COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _BY_KIND:
            for kind, count in getattr(other, name).items():
                _add(getattr(self, name), kind, count)
        for reason, count in other.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count


def _kind(record: Record) -> Kind:
    return (record.event_type, record.experiment_name, record.variant_key)


def _add(counts: dict[Kind, int], kind: Kind, count: int) -> None:
    if kind not in counts and len(counts) >= MOST_KINDS:
        kind = (kind[0], None, None)
    counts.setdefault(kind, 0)
    counts[kind] += count


class _Owner:
    """Lives as long as its thread does."""

    __slots__ = ("__weakref__", "cell")

    def __init__(self, cell: Cell) -> None:
        self.cell = cell


class _Books(NamedTuple):
    """All counts: those of the threads that have ended, and one cell for each other one.

    They do not change, but are replaced by others: a signal handler that comes in between finds the
    old or the new ones, and whoever finds that it has replaced them begins again.
    """

    ended: Cell
    running: tuple[tuple[weakref.ref[_Owner], Cell], ...]


class Ledger:
    """The counts of one data plane.

    Args:
        outstanding: Counts accepted records without a fate, for a backplane that reports failures
            only; what is delivered then follows from it. None where each delivery is reported.
        spooled: Counts records on disk that are not handed to the backplane.
        recovered: Counts records adopted from earlier processes.
        lost_on_disk: Counts records that the disk lost, by reason.

    Attributes:
        surplus: How many more fates than records there were at the last count: a mistake of the
            backplane, unless publishes were running.
    """

    def __init__(
        self,
        outstanding: Callable[[], int] | None,
        *,
        spooled: Callable[[], int] = lambda: 0,
        recovered: Callable[[], int] = lambda: 0,
        lost_on_disk: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._outstanding = outstanding
        self._lost_on_disk = lost_on_disk
        self._spooled = spooled
        self._recovered = recovered
        self._local = threading.local()
        self._lock = threading.RLock()
        self._books = _Books(Cell(), ())
        self._delivered = 0
        self.surplus = 0

    def cell(self) -> Cell:
        """Give the calling thread's own counts."""
        try:
            owner: _Owner = self._local.owner
        except AttributeError:
            owner = _Owner(Cell())
            with self._lock:
                self._fold_ended()
                self._begin(owner)
            # Last: Ctrl-C must not leave a thread with a cell that is in no books.
            self._local.owner = owner
        return owner.cell

    def stats(self) -> Stats:
        """Add everything up.

        The order makes every term a safe estimate while other threads publish: what an event passes
        last is read first, so that nothing is counted at its end before it is counted at its
        beginning. Where deliveries follow from what is outstanding, that is read before the
        failures: a record that fails meanwhile counts as neither delivered.
        """
        with self._lock:
            self._fold_ended()
            cells = self._cells()
            delivered = self._settled(cells)
            failed = _sum(cells, "failed")
            dropped: Counter[str] = Counter(self._lost_on_disk())
            for cell in cells:
                dropped.update(cell.dropped.copy())
            sampled_out = _sum(cells, "sampled_out")
            disabled = _sum(cells, "disabled")
            refused = _sum(cells, "refused")
            spooled = self._spooled()
            recovered = self._recovered()
            offered = _sum(cells, "offered")
        settled = refused + disabled + sampled_out + dropped.total() + failed + delivered
        pending = offered + recovered - settled - spooled
        self.surplus = max(-pending, 0)
        return Stats(
            offered=offered,
            recovered=recovered,
            refused=refused,
            disabled=disabled,
            sampled_out=sampled_out,
            dropped=dict(dropped),
            failed=failed,
            delivered=delivered,
            pending=max(pending, 0),
            spooled=spooled,
        )

    def breakdown(self) -> list[Breakdown]:
        """Give the counts of each event type, experiment and variant, most frequent first.

        One that was only recovered from earlier processes is there if any of it was lost.
        """
        total = Cell()
        with self._lock:
            for cell in self._cells():
                for name in _BY_KIND:
                    for kind, count in getattr(cell, name).copy().items():
                        _add(getattr(total, name), kind, count)
        kinds = total.offered_by_kind | total.dropped_by_kind | total.failed_by_kind
        found = [
            Breakdown(
                event_type=kind[0],
                experiment_name=kind[1],
                variant_key=kind[2],
                offered=total.offered_by_kind.get(kind, 0),
                dropped=total.dropped_by_kind.get(kind, 0),
                failed=total.failed_by_kind.get(kind, 0),
            )
            for kind in kinds
        ]
        return sorted(found, key=lambda one: one.offered, reverse=True)

    def _settled(self, cells: Iterable[Cell]) -> int:
        """Count deliveries; never fewer than the last time."""
        if self._outstanding is None:
            delivered = _sum(cells, "delivered")
        else:
            accepted = _sum(cells, "accepted")
            outstanding = self._outstanding()
            delivered = accepted - outstanding - _sum(cells, "returned") - _sum(cells, "failed")
        self._delivered = max(delivered, self._delivered)
        return self._delivered

    def _cells(self) -> list[Cell]:
        ended, running = self._books
        return [ended, *(cell for _, cell in running)]

    def _begin(self, owner: _Owner) -> None:
        entry = (weakref.ref(owner), owner.cell)
        while True:
            books = self._books
            longer = _Books(books.ended, (*books.running, entry))
            if self._books is books:
                self._books = longer
                return

    def _fold_ended(self) -> None:
        """Make one cell of those whose threads have ended."""
        books = self._books
        ended = {id(cell) for owner, cell in books.running if owner() is None}
        if not ended:
            return
        total = Cell()
        total.add(books.ended)
        running = []
        for owner, cell in books.running:
            if id(cell) in ended:
                total.add(cell)
            else:
                running.append((owner, cell))
        folded = _Books(total, tuple(running))
        if self._books is books:  # else it is done next time
            self._books = folded


def _sum(cells: Iterable[Cell], name: str) -> int:
    return sum(getattr(cell, name) for cell in cells)
