"""The way out for sinks that are a plain blocking call: a bounded queue and one thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from experiment_framework._delivery.batch import Batch, Fate
from experiment_framework._delivery.batching import Cutter
from experiment_framework._delivery.fence import close_backplane, flush_backplane
from experiment_framework._delivery.health_watch import HealthWatch
from experiment_framework._delivery.retrying import Pacing
from experiment_framework._delivery.splitting import Outcome, judge
from experiment_framework._delivery.threads import LazyThread
from experiment_framework.envelope import Record
from experiment_framework.errors import DeliveryError, QueueFullError, RecordTooLargeError
from experiment_framework.health import Health

if TYPE_CHECKING:
    from experiment_framework._delivery.settlement import Settlement
    from experiment_framework._delivery.spooling import Spooling
    from experiment_framework._registry import Hooks
    from experiment_framework.dataplane_options import DeliveryOptions

__all__ = ["BatchWorker"]

_SLICE: Final = 0.1
"""Seconds a wait lasts at most before it looks again: Ctrl-C gets through on every platform."""

_NEARLY_FULL: Final = 0.8
"""The fill of the queue from which on somebody should look."""

SLOW: Final = 5.0
"""Seconds beyond ``flushIntervalMs`` that a record may wait before that is worth a look."""

STUCK: Final = 30.0
"""Seconds that one batch may be written before nothing seems to get through."""


class BatchWorker:
    """Collects records into batches and writes them, in order, on a thread of its own.

    What fails for a passing reason is tried again before anything later is. Where that goes on for
    too long and there is a spool, it goes to disk, and all that is queued behind it: so nothing is
    overtaken. The thread starts with the first record. Where none is started any more, because the
    process ends, `flush` and `close` write in the calling thread.

    Args:
        write_batch: Makes records durable, or raises.
        hooks: The other hooks of the backplane.
        settlement: Where fates are reported; its limits bound the queue.
        options: How large batches are, and how long they are tried for.
        disk: Where records wait that are given up; None where none is declared.
    """

    def __init__(
        self,
        write_batch: Callable[[Sequence[Record]], None],
        hooks: Hooks,
        settlement: Settlement,
        options: DeliveryOptions,
        *,
        disk: Spooling | None = None,
    ) -> None:
        self._write_batch = write_batch
        self._hooks = hooks
        self._settlement = settlement
        self._disk = disk
        self._watch = HealthWatch(hooks)
        self._max_records = settlement.max_queue_size
        self._max_bytes = settlement.max_queue_bytes
        self._flush_interval = options.flush_interval_ms / 1000
        self._patience = options.batch_retry_seconds()
        self._cutter = Cutter(options.batch_size, options.batch_bytes)
        self._pacing = Pacing(options.retry_backoff_ms / 1000, options.retry_backoff_max_ms / 1000)
        self._changed = threading.Condition(lock := threading.RLock())
        self._lock = lock
        self._writing = threading.RLock()  # a sink that writes may be interrupted by a flush
        self._writer: int | None = None
        self._queue: deque[Record] = deque()
        self._bytes = 0
        self._arrivals: deque[float] = deque()  # of the queue's records
        self._batch_since = 0.0
        self._writing_since: float | None = None
        self._last_delivery: float | None = None
        self._batch: Batch | None = None
        self._flushes = 0
        self._closed = False
        self._abandoned = False
        self._is_giving_back = False
        self._thread = LazyThread(self._run, "experiment-batches")
        self._trouble: str | None = None

    def publish(self, record: Record) -> None:
        """Queue one record; see `Outlet.publish`.

        Where others have gone to disk there is no room: it would overtake them.
        """
        with self._lock:
            if self._is_giving_back or (self._disk is not None and self._disk.is_behind):
                raise QueueFullError("others wait on disk")
            self._enqueue(record)

    def republish(self, record: Record) -> None:
        """Queue one record from disk; see `Outlet.republish`."""
        with self._lock:
            self._enqueue(record)

    def _enqueue(self, record: Record) -> None:
        size = len(record.body)
        queue = self._queue
        waiting = len(queue)
        held = self._bytes
        if waiting >= self._max_records or held + size > self._max_bytes or self._closed:
            self._refuse(size)
        self._arrivals.append(time.monotonic())
        queue.append(record)
        self._bytes = held + size
        self._thread.start()
        if not waiting:
            if self._batch is None:
                self._changed.notify_all()
        elif self._cutter.is_full(waiting + 1, held + size) and not self._cutter.is_full(
            waiting, held
        ):
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
            return not self._queue and self._batch is None

    def close(self, timeout: float) -> None:
        """Write what waits, then let the backplane go; see `Outlet.close`."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        try:
            self._wait_until_empty(deadline)
        finally:
            why = f"; the last try: {self._trouble}" if self._trouble else ""
            for record in self._abandon():
                self._settlement.failed(
                    record, f"not written before the time to close was over{why}", retryable=True
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
        now = time.monotonic()
        with self._lock:
            fill = max(len(self._queue) / self._max_records, self._bytes / self._max_bytes)
            waiting = _age(now, self._waiting_since())
            writing = _age(now, self._writing_since)
            last_delivery, trouble = _age(now, self._last_delivery), self._trouble
            pacing = self._pacing
        unhealthy = own.reasons if own.status == "UNHEALTHY" else ()
        degraded = own.reasons if own.status == "DEGRADED" else ()
        if trouble and not unhealthy:
            unhealthy = (f"the last batch could not be written: {trouble}",)
        if writing is not None and writing > STUCK:
            unhealthy += (f"nothing gets through: a batch has been under way for {writing:.0f} s",)
        elif waiting is not None and waiting > SLOW + self._flush_interval:
            degraded += (f"records have been waiting for {waiting:.0f} s",)
        if fill >= _NEARLY_FULL:
            degraded += (f"the queue is {fill:.0%} full",)
        details = own.details | {
            "queueFill": round(fill, 4),
            "oldestPendingAgeSeconds": waiting,
            "lastDeliveryAgeSeconds": last_delivery,
            "failuresInARow": pacing.failures,
            "nextTrySeconds": round(max(pacing.next_try - now, 0.0), 3),
        }
        return Health.judge(unhealthy=unhealthy, degraded=degraded, details=details)

    def _waiting_since(self) -> float | None:
        if self._batch is not None:
            return self._batch_since
        return self._arrivals[0] if self._arrivals else None

    def _refuse(self, size: int) -> None:
        """Say why a record cannot be queued."""
        if size > self._max_bytes:
            raise RecordTooLargeError(size, self._max_bytes)
        if self._closed:
            raise DeliveryError("closed")
        raise QueueFullError(f"{len(self._queue)} records wait, {self._bytes} bytes")

    def _run(self) -> None:
        while self._wait_until_due():
            self._step()

    def _wait_until_due(self) -> bool:
        """Wait until a try is due; False when there will be none any more."""
        with self._changed:
            while not self._abandoned:
                due = self._due()
                if due is None and self._closed:
                    return False
                left = None if due is None else due - time.monotonic()
                if left is not None and left <= 0:
                    return True
                self._changed.wait(left)
            return False

    def _due(self) -> float | None:
        """Give the moment of the next try; None where nothing waits. Called with the lock held."""
        if self._batch is not None:
            return min(self._pacing.next_try, self._batch.deadline)
        if not self._queue:
            return None
        is_due = (
            self._flushes or self._closed or self._cutter.is_full(len(self._queue), self._bytes)
        )
        # What waits on disk is sent at the pace of the disk: there is no second one.
        paced = self._pacing.next_try if self._disk is None else 0.0
        return max(0.0 if is_due else self._arrivals[0] + self._flush_interval, paced)

    def _step(self, timeout: float = -1) -> None:
        """Write the next piece once; one thread at a time, so that order is kept.

        Args:
            timeout: Longest time in seconds to wait for another thread that writes; -1 for ever.
        """
        if not self._writing.acquire(timeout=timeout):
            return
        try:
            if not self._is_written_here:
                self._write_next()
        finally:
            self._writing.release()

    def _write_next(self) -> None:
        self._writer = threading.get_ident()
        try:
            batch = self._next_batch()
            piece = () if batch is None else batch.piece
            if batch is not None and piece:
                self._settle(batch, judge(piece, self._write(piece)), len(piece))
        finally:
            self._writer = None

    @property
    def _is_written_here(self) -> bool:
        """Whether this very thread writes: what that runs would wait for itself."""
        return self._writer == threading.get_ident()

    def _next_batch(self) -> Batch | None:
        """Give the batch on its way; otherwise cut the next one."""
        with self._lock:
            if self._batch is None and self._queue:
                records, size = self._cutter.cut(self._queue)
                self._bytes -= size
                self._batch_since = self._arrivals[0]
                for _ in records:
                    self._arrivals.popleft()
                self._batch = Batch(records, self._patience)
            return self._batch

    def _write(self, piece: Sequence[Record]) -> BaseException | None:
        """Write records; give what the sink raised."""
        self._writing_since = time.monotonic()
        try:
            self._write_batch(piece)
        except BaseException as error:
            # A sink may raise anything, SystemExit too: the thread lives on.
            if isinstance(error, KeyboardInterrupt) and not self._thread.is_current:
                raise  # Ctrl-C, in a thread that flushes or closes
            return error
        finally:
            self._writing_since = None
        return None

    def _settle(self, batch: Batch, outcome: Outcome, tried: int) -> None:
        with self._lock:
            if self._batch is not batch:  # close has given up on it and reported it
                return
            fates = batch.settle(outcome)
            self._note(outcome, tried)
            if outcome.rest and not outcome.is_too_large and batch.is_over():
                fates += self._give_up(batch, outcome)
        if outcome.delivered:
            self._settlement.delivered_all(outcome.delivered)
        self._report(fates)
        self._is_giving_back = False
        with self._changed:
            if self._batch is batch and not batch.piece:
                self._batch = None
                self._changed.notify_all()

    def _note(self, outcome: Outcome, tried: int) -> None:
        """Remember what a try says about the sink."""
        self._trouble = outcome.reason
        if outcome.is_too_large:
            self._cutter.did_not_fit(tried)
            return
        self._cutter.fitted()
        if outcome.delivered or outcome.refused or not outcome.rest:
            self._pacing.success()
        if outcome.delivered:
            self._last_delivery = time.monotonic()
        if outcome.rest:
            self._pacing.failure()

    def _give_up(self, batch: Batch, outcome: Outcome) -> list[Fate]:
        """Give up what was tried for long enough; to the disk, with all that comes after it."""
        disk = self._disk
        if disk is None:
            return batch.give_up(outcome)
        # Until these are on disk nothing comes in: it would be written before them.
        self._is_giving_back = True
        left = batch.clear()
        others = deque[Record]()
        arrivals = deque[float]()
        for record, arrival in zip(self._queue, self._arrivals, strict=True):
            if disk.keeps(record.event_type):
                left.append(record)
            else:
                others.append(record)
                arrivals.append(arrival)
        self._queue, self._arrivals = others, arrivals
        self._bytes = sum(len(record.body) for record in others)
        return [Fate(record, outcome.reason or "", retryable=True) for record in left]

    def _report(self, fates: Iterable[Fate]) -> None:
        for record, reason, retryable in fates:
            self._settlement.failed(record, reason, retryable=retryable)

    def _abandon(self) -> list[Record]:
        """Take everything that has no fate; nothing is tried any more."""
        with self._changed:
            self._abandoned = True
            left = [*(self._batch.clear() if self._batch else ()), *self._queue]
            self._batch = None
            self._queue.clear()
            self._arrivals.clear()
            self._bytes = 0
            self._changed.notify_all()
            return left

    def _wait_until_empty(self, deadline: float) -> None:
        if self._is_written_here:
            return
        if not self._thread.is_alive:
            self._work_until(deadline)
        with self._changed:
            while self._queue or self._batch is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(min(left, _SLICE))

    def _work_until(self, deadline: float) -> None:
        """Write in the calling thread, where there is none of our own any more."""
        while (left := deadline - time.monotonic()) > 0:
            with self._changed:
                due = self._due()
                if due is None:
                    return
                pause = due - time.monotonic()
                if pause > 0:
                    self._changed.wait(min(pause, left, _SLICE))
                    continue
            self._step(left)


def _age(now: float, moment: float | None) -> float | None:
    return None if moment is None else round(now - moment, 3)
