"""Calls what an application asked to be told, on a thread of ours."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from experiment_framework._delivery.threads import LazyThread
from experiment_framework.results import DeliveryReport

if TYPE_CHECKING:
    from experiment_framework._delivery.throttle import ThrottledLog
    from experiment_framework.envelope import Record

    OnDrop: TypeAlias = Callable[[Record, str], object]
    OnDelivery: TypeAlias = Callable[[DeliveryReport], object]

__all__ = ["Callbacks"]

MOST_WAITING: Final = 10_000
"""Calls that wait at once; beyond it they are skipped, and counted."""


class Callbacks:
    """Queues calls and makes them one after the other, on a thread that the first one starts.

    Never on a thread that publishes and never within a client's call: a callback may publish, flush
    or raise, and changes nothing by it.

    Args:
        on_drop: Told each record that was not accepted, and why.
        on_delivery: Told the fate of each accepted record.
        log: Where a callback that raises is reported.

    Attributes:
        errors: Calls that raised.
        skipped: Calls that were left out.
    """

    def __init__(
        self, on_drop: OnDrop | None, on_delivery: OnDelivery | None, log: ThrottledLog
    ) -> None:
        self.errors = 0
        self.skipped = 0
        self.wants_deliveries = on_delivery is not None
        self._on_drop = on_drop
        self._on_delivery = on_delivery
        self._log = log
        self._waiting: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._is_calling = False
        self._is_closed = False
        self._thread = LazyThread(self._run, "experiment-callbacks")

    @property
    def is_called_here(self) -> bool:
        """Whether this very thread makes the calls: what they run would wait for itself."""
        return self._thread.is_current

    def dropped(self, record: Record, reason: str) -> None:
        """Queue the call of ``on_drop``."""
        on_drop = self._on_drop
        if on_drop is not None:
            self._enqueue(lambda: on_drop(record, reason))

    def delivered(self, record: Record) -> None:
        """Queue the call of ``on_delivery`` for a record that is durable."""
        self._tell(DeliveryReport(record=record, status="delivered"))

    def failed(self, record: Record, reason: str) -> None:
        """Queue the call of ``on_delivery`` for a record that will never arrive."""
        self._tell(DeliveryReport(record=record, status="failed", reason=reason))

    def close(self, timeout: float) -> None:
        """Make the calls that wait, at most for ``timeout`` seconds; skip the rest."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if not self._thread.is_there:  # at the end of a process none is started any more
            while time.monotonic() < deadline and (call := self._next()):
                self._make(call)
        with self._changed:
            if not self._thread.is_current:
                self._wait_until_called(deadline)
            self.skipped += len(self._waiting)
            self._waiting.clear()

    def _tell(self, report: DeliveryReport) -> None:
        on_delivery = self._on_delivery
        if on_delivery is not None:
            self._enqueue(lambda: on_delivery(report))

    def _enqueue(self, call: Callable[[], object]) -> None:
        with self._changed:
            if self._is_closed or len(self._waiting) >= MOST_WAITING:
                self.skipped += 1
                return
            self._waiting.append(call)
            self._thread.start()
            if len(self._waiting) == 1:
                self._changed.notify_all()

    def _run(self) -> None:
        while call := self._next():
            self._make(call)

    def _next(self) -> Callable[[], object] | None:
        """Wait for a call to make; None when there will be none any more."""
        with self._changed:
            while not self._waiting:
                if self._is_closed:
                    return None
                self._changed.wait()
            self._is_calling = True
            return self._waiting.popleft()

    def _make(self, call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:
            # It may raise anything, SystemExit too: the thread lives on.
            if isinstance(error, KeyboardInterrupt) and not self._thread.is_current:
                raise  # Ctrl-C, in the thread that closes
            self.errors += 1
            self._log.report("callback", "a callback of the application raised", error)
        finally:
            with self._changed:
                self._is_calling = False
                self._changed.notify_all()

    def _wait_until_called(self, deadline: float) -> None:
        while self._waiting or self._is_calling:
            left = deadline - time.monotonic()
            if left <= 0 or not self._thread.is_alive:
                return
            self._changed.wait(min(left, 0.1))
