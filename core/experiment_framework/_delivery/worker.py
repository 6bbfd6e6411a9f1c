"""The way out for sinks that are a plain blocking call: a bounded queue and one thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from experiment_framework._delivery.fence import close_backplane, flush_backplane
from experiment_framework._delivery.health_watch import HealthWatch
from experiment_framework._delivery.threads import LazyThread
from experiment_framework.envelope import Record
from experiment_framework.errors import DeliveryError, QueueFullError, RecordTooLargeError
from experiment_framework.health import Health

if TYPE_CHECKING:
    from experiment_framework._registry import Hooks
    from experiment_framework.plugin.backplane import Context

__all__ = ["BatchWorker"]

_SLICE = 0.1
"""Seconds a wait lasts at most before it looks again: Ctrl-C gets through on every platform."""


_NEARLY_FULL = 0.8
"""The fill of the queue from which on somebody should look."""

SLOW = 5.0
"""Seconds beyond ``flushIntervalMs`` that a record may wait before that is worth a look."""

STUCK = 30.0
"""Seconds that one batch may be written before nothing seems to get through."""


class BatchWorker:
    """Collects records into batches and writes them, in order, on a thread of its own.

    The thread starts with the first record. Where none is started any more, because the process
    ends, `flush` and `close` write in the calling thread.

    Args:
        write_batch: Makes records durable, or raises.
        hooks: The other hooks of the backplane.
        context: Where fates are reported; its limits bound the queue.
        batch_size: Most records in one batch.
        flush_interval: Longest time in seconds that a record waits for its batch to fill.
    """

    def __init__(
        self,
        write_batch: Callable[[Sequence[Record]], None],
        hooks: Hooks,
        context: Context,
        *,
        batch_size: int,
        flush_interval: float,
    ) -> None:
        self._write_batch = write_batch
        self._hooks = hooks
        self._watch = HealthWatch(hooks)
        self._context = context
        self._max_records = context.max_queue_size
        self._max_bytes = context.max_queue_bytes
        self._batch_size = batch_size
        self._flush_interval = flush_interval
        self._changed = threading.Condition()
        self._writing = threading.RLock()  # a sink that writes may be interrupted by a flush
        self._writer: int | None = None
        self._queue: deque[Record] = deque()
        self._bytes = 0
        self._arrivals: deque[float] = deque()  # of the queue's records
        self._in_flight: Sequence[Record] = ()
        self._in_flight_since = 0.0
        self._writing_since = 0.0
        self._last_delivery: float | None = None
        self._settling = False
        self._flushes = 0
        self._closed = False
        self._thread = LazyThread(self._run, "experiment-batches")
        self._trouble: str | None = None

    def publish(self, record: Record) -> None:
        """Queue one record; see `Outlet.publish`."""
        size = len(record.body)
        if size > self._max_bytes:
            raise RecordTooLargeError(size, self._max_bytes)
        with self._changed:
            if self._closed:
                raise DeliveryError("closed")
            queue = self._queue
            if len(queue) >= self._max_records or self._bytes + size > self._max_bytes:
                raise QueueFullError(f"{len(queue)} records wait, {self._bytes} bytes")
            self._arrivals.append(time.monotonic())
            queue.append(record)
            self._bytes += size
            waiting = len(queue)
            self._thread.start()
            if waiting in (1, self._batch_size):
                self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Have everything written without waiting for batches to fill; see `Outlet.flush`."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._flushes += 1
            self._changed.notify_all()
        try:
            self._wait_until_empty(deadline)
        finally:
            with self._changed:
                self._flushes -= 1
        flush_backplane(self._hooks, max(0.0, deadline - time.monotonic()))
        with self._changed:
            return not self._queue and not self._in_flight

    def close(self, timeout: float) -> None:
        """Write what waits, then let the backplane go; see `Outlet.close`."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        try:
            self._wait_until_empty(deadline)
        finally:
            with self._changed:
                left = [*self._queue]
                if not self._settling:
                    left = [*self._in_flight, *left]
                    self._in_flight = ()
                self._queue.clear()
                self._arrivals.clear()
                self._bytes = 0
                self._changed.notify_all()
            for record in left:
                self._context.failed(
                    record, "not written before the time to close was over", retryable=True
                )
            self._watch.close()
            close_backplane(self._hooks, max(0.0, deadline - time.monotonic()))

    def hold(self, timeout: float) -> bool:
        """Keep batches from being written, once none is; False where one takes longer."""
        return self._writing.acquire(timeout=timeout)

    def go_on(self) -> None:
        """Let batches be written again."""
        self._writing.release()

    def health(self) -> Health:
        """Join what the backplane says with the fate of the last batch, its age and the queue."""
        own = self._watch.health()
        with self._changed:
            now = time.monotonic()
            fill = max(len(self._queue) / self._max_records, self._bytes / self._max_bytes)
            waiting = _age(now, self._waiting_since())
            writing = now - self._writing_since if self._in_flight else 0.0
            last_delivery, trouble = _age(now, self._last_delivery), self._trouble
        unhealthy = own.reasons if own.status == "UNHEALTHY" else ()
        degraded = own.reasons if own.status == "DEGRADED" else ()
        if trouble and not unhealthy:
            unhealthy = (f"the last batch could not be written: {trouble}",)
        if writing > STUCK:
            unhealthy += (f"nothing gets through: a batch has been under way for {writing:.0f} s",)
        elif waiting is not None and waiting > SLOW + self._flush_interval:
            degraded += (f"records have been waiting for {waiting:.0f} s",)
        if fill >= _NEARLY_FULL:
            degraded += (f"the queue is {fill:.0%} full",)
        details = own.details | {
            "queueFill": round(fill, 4),
            "oldestPendingAgeSeconds": waiting,
            "lastDeliveryAgeSeconds": last_delivery,
        }
        return Health.judge(unhealthy=unhealthy, degraded=degraded, details=details)

    def _waiting_since(self) -> float | None:
        if self._in_flight:
            return self._in_flight_since
        return self._arrivals[0] if self._arrivals else None

    def _run(self) -> None:
        while self._wait_for_batch():
            self._write_next()

    def _wait_for_batch(self) -> bool:
        """Wait until a batch is due; False when there will be none any more."""
        with self._changed:
            while True:
                if self._queue:
                    due = self._arrivals[0] + self._flush_interval - time.monotonic()
                    if (
                        len(self._queue) >= self._batch_size
                        or self._flushes
                        or self._closed
                        or due <= 0
                    ):
                        return True
                    self._changed.wait(due)
                elif self._closed:
                    return False
                else:
                    self._changed.wait()

    def _write_next(self) -> None:
        """Take the next batch and write it; one thread at a time, so that order is kept."""
        with self._writing:
            if self._is_written_here:
                return
            self._writer = threading.get_ident()
            try:
                self._write_first()
            finally:
                self._writer = None

    @property
    def _is_written_here(self) -> bool:
        """Whether this very thread writes: what that runs would wait for itself."""
        return self._writer == threading.get_ident()

    def _write_first(self) -> None:
        with self._changed:
            count = min(self._batch_size, len(self._queue))
            batch = [self._queue.popleft() for _ in range(count)]
            arrivals = [self._arrivals.popleft() for _ in range(count)]
            self._in_flight = batch
            self._in_flight_since = arrivals[0] if arrivals else 0.0
            self._writing_since = time.monotonic()
            self._bytes -= sum(len(record.body) for record in batch)
        if batch:
            self._settle(batch, self._write(batch))

    def _write(self, batch: Sequence[Record]) -> str | None:
        """Write a batch; give the reason where it could not be."""
        try:
            self._write_batch(batch)
        except BaseException as error:
            # A sink may raise anything, SystemExit too: the thread lives on.
            if isinstance(error, KeyboardInterrupt) and not self._thread.is_current:
                raise  # Ctrl-C, in a thread that flushes or closes
            return f"{type(error).__name__}: {error}"
        return None

    def _settle(self, batch: Sequence[Record], trouble: str | None) -> None:
        with self._changed:
            if self._in_flight is not batch:  # close has given up on it and reported it
                return
            self._settling = True
            self._trouble = trouble
            if trouble is None:
                self._last_delivery = time.monotonic()
        if trouble is None:
            self._context.delivered_all(batch)
        else:
            for record in batch:
                self._context.failed(record, trouble, retryable=True)
        with self._changed:
            self._settling = False
            self._in_flight = ()
            self._changed.notify_all()

    def _wait_until_empty(self, deadline: float) -> None:
        if self._is_written_here:
            return
        if not self._thread.is_alive:
            while self._queue and time.monotonic() < deadline:
                self._write_next()
        with self._changed:
            while self._queue or self._in_flight:
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(min(left, _SLICE))


def _age(now: float, moment: float | None) -> float | None:
    return None if moment is None else round(now - moment, 3)
