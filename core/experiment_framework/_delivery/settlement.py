"""Where the fates of records are reported, counted, and told to those who wait for one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from experiment_framework.results import Receipt

if TYPE_CHECKING:
    from experiment_framework._delivery.throttle import ThrottledLog
    from experiment_framework._ledger import Ledger
    from experiment_framework.envelope import Record

__all__ = ["Settlement", "Waiter"]


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
    """The context that a backplane reports to.

    Attributes:
        max_queue_size: How many records may wait at once.
        max_queue_bytes: How many bytes may wait at once.
        report_each: Whether each delivery has to be reported.
    """

    def __init__(
        self, *, ledger: Ledger, log: ThrottledLog, max_queue_size: int, max_queue_bytes: int
    ) -> None:
        self.max_queue_size = max_queue_size
        self.max_queue_bytes = max_queue_bytes
        self.report_each = False
        self._ledger = ledger
        self._log = log
        self._waiters: dict[str, list[Waiter]] = {}
        self._lock = threading.RLock()

    def delivered(self, record: Record) -> None:
        """Count a record that is durable."""
        self._ledger.cell().delivered += 1
        if self._waiters:
            self._tell(record.event_id, Receipt(record.event_id, "delivered"))

    def failed(self, record: Record, reason: str) -> None:
        """Count a record that will never arrive."""
        self._ledger.cell().failed += 1
        self._log.report("failed", f"an event was accepted and could not be delivered: {reason}")
        if self._waiters:
            self._tell(record.event_id, Receipt(record.event_id, "failed", reason))

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
