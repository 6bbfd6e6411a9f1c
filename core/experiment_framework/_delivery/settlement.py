"""Where the fates of records are reported, counted, and told to those who wait for one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from experiment_framework.results import Receipt

if TYPE_CHECKING:
    from experiment_framework._delivery.callbacks import Callbacks
    from experiment_framework._delivery.dead_letters import DeadLetters
    from experiment_framework._delivery.throttle import ThrottledLog
    from experiment_framework._ledger import Ledger
    from experiment_framework.envelope import Record

    OnFailure: TypeAlias = Callable[[Record, str, bool], object]

__all__ = ["Observer", "Settlement", "TakesBack", "Waiter"]


class TakesBack(Protocol):
    """Keeps records on disk until they are durable elsewhere."""

    def settled(self, records: Sequence[Record]) -> None:
        """Let go of records: they are durable, or will never be."""

    def take_back(self, record: Record, reason: str = "") -> bool:
        """Keep a record that the backplane gave up for a passing reason; False where it cannot."""


class Observer(Protocol):
    """Follows the records of one backplane for a larger whole."""

    def delivered(self, records: Sequence[Record]) -> None:
        """Take note of records that are durable."""

    def failed(self, record: Record, reason: str, *, retryable: bool) -> None:
        """Take note of a record that will not arrive, if it is not sent again from outside."""

    def kept(self, record: Record) -> None:
        """Take note of a record that came back and waits on disk now."""


class Waiter:
    """Somebody who waits for the fate of one record.

    Args:
        wake: Called once, from the reporting thread, when the fate is known; must be cheap.
    """

    __slots__ = ("_wake", "receipt")

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self.receipt: Receipt | None = None

    def settle(self, receipt: Receipt) -> None:
        """Take the fate; the first one counts."""
        if self.receipt is None:
            self.receipt = receipt
            self._wake()


class Settlement:
    """The context that a backplane reports to; it stays the same in a forked child.

    Args:
        max_queue_size: How many records may wait at once.
        max_queue_bytes: How many bytes may wait at once.
        report_each: Whether each delivery has to be reported.
        log: Where failures are reported.
        observer: Told the fate of each record at once, in the thread that reports it.
    """

    def __init__(
        self,
        *,
        max_queue_size: int,
        max_queue_bytes: int,
        report_each: bool,
        log: ThrottledLog,
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer
        self._on_failure: OnFailure | None = None
        self.max_queue_size = max_queue_size
        self.max_queue_bytes = max_queue_bytes
        self.report_each = report_each
        self._log = log

    def tell_failures(self, on_failure: OnFailure) -> None:
        """Tell of each record that failed, and whether for a passing reason, before it counts.

        In the thread that reports it, none left out; deliveries need not be reported for that.
        """
        self._on_failure = on_failure

    def connect(
        self,
        ledger: Ledger,
        callbacks: Callbacks,
        *,
        disk: TakesBack | None,
        dead_letters: DeadLetters | None,
    ) -> None:
        """Say where fates go from now on; again in a forked child, which starts with new ones."""
        self._ledger = ledger
        self._callbacks = callbacks
        self._disk = disk
        self._dead_letters = dead_letters
        self._waiters: dict[str, list[Waiter]] = {}
        self._lock = threading.RLock()

    def delivered(self, record: Record) -> None:
        """Count a record that is durable."""
        self.delivered_all((record,))

    def delivered_all(self, records: Sequence[Record]) -> None:
        """Count records that are durable."""
        count = len(records)
        try:
            if self._disk is not None:
                self._disk.settled(records)
        finally:  # Ctrl-C: they have arrived all the same
            self._ledger.cell().delivered += count
        if self._callbacks.wants_deliveries:
            for record in records:
                self._callbacks.delivered(record)
        if self._waiters:
            for record in records:
                self._tell(record.event_id, Receipt(record.event_id, "delivered"))
        if self._observer is not None:
            self._observer.delivered(records)

    def failed(self, record: Record, reason: str, *, retryable: bool = False) -> None:
        """Count a record that will not arrive now; with a spool, one that may arrive later."""
        if self._disk is not None and retryable and self._disk.take_back(record, reason):
            self._ledger.cell().returned += 1
            if self._observer is not None:
                self._observer.kept(record)
            return
        if self._disk is not None:
            self._disk.settled((record,))
        self._ledger.cell().note_failed(record)
        if self._dead_letters is not None and not retryable:
            self._dead_letters.keep(record, reason)
        if self._on_failure is not None:
            self._on_failure(record, reason, retryable)
        self._log.report("failed", f"an event was accepted and could not be delivered: {reason}")
        self._callbacks.failed(record, reason)
        if self._waiters:
            self._tell(record.event_id, Receipt(record.event_id, "failed", reason))
        if self._observer is not None:
            self._observer.failed(record, reason, retryable=retryable)

    def dropped(self, record: Record, reason: str, detail: str, *, for_good: bool) -> None:
        """Count a record that was not accepted.

        Args:
            record: The record.
            reason: One of a fixed few words.
            detail: More of it, for the log.
            for_good: Whether it could never be accepted: then it is a dead letter.
        """
        self._ledger.cell().note_dropped(record, reason)
        if for_good and self._dead_letters is not None:
            self._dead_letters.keep(record, f"{reason}: {detail}" if detail else reason)
        suffix = f" ({detail})" if detail else ""
        self._log.report(reason, f"an event was dropped: {reason}{suffix}")
        self._callbacks.dropped(record, reason)
        if self._observer is not None:
            self._observer.failed(record, reason, retryable=not for_good)

    def discarded(self, records: Sequence[Record], reason: str) -> None:
        """Tell of records that the disk lost; it has counted them itself."""
        cell = self._ledger.cell()
        for record in records:
            cell.note_discarded(record)
            self._callbacks.dropped(record, reason)
        self._log.report(reason, f"events that waited on disk were dropped: {reason}")

    def add(self, event_id: str, waiter: Waiter) -> None:
        """Tell this waiter the fate of the record with this id."""
        with self._lock:
            self._waiters.setdefault(event_id, []).append(waiter)

    def discard(self, event_id: str, waiter: Waiter) -> None:
        """Forget a waiter, whether or not it was told."""
        with self._lock:
            waiting = self._waiters.get(event_id, [])
            if waiter in waiting:
                waiting.remove(waiter)
            if not waiting:
                self._waiters.pop(event_id, None)

    def _tell(self, event_id: str, receipt: Receipt) -> None:
        with self._lock:
            for waiter in self._waiters.get(event_id, ()):
                waiter.settle(receipt)
