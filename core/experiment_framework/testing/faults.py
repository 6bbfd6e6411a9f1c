"""Breaks a backplane on purpose: it stalls, it fails, it rejects."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

import attrs

from experiment_framework._registry import Hooks, resolve
from experiment_framework.plugin import Context, DeliveryError, Permanent, QueueFullError, Record

__all__ = ["Faults", "with_faults"]


class Faults:
    """What is wrong with a backplane at the moment; may be changed from any thread at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moving = threading.Event()
        self._moving.set()
        self._released: Callable[[], None] = lambda: None
        self._failures: deque[Exception] = deque()
        self._rejects: Callable[[Record], bool] | None = None
        self._reason = ""

    def stall(self) -> None:
        """Let nothing through until `release`: a ``write_batch`` blocks, a ``publish`` queues."""
        self._moving.clear()

    def release(self) -> None:
        """End a stall; what waited goes on."""
        self._moving.set()
        self._released()

    @property
    def is_stalled(self) -> bool:
        """Whether nothing gets through."""
        return not self._moving.is_set()

    def fail(self, times: int = 1, error: Exception | None = None) -> None:
        """Fail the next writes: each a whole ``write_batch``, or one record of a ``publish``.

        Args:
            times: How many.
            error: What they fail with; a `DeliveryError` where none is given.
        """
        with self._lock:
            self._failures.extend([error or DeliveryError("a fault was injected")] * times)

    def reject(
        self, predicate: Callable[[Record], bool] | None, reason: str = "rejected by a fault"
    ) -> None:
        """Give up for good the records that a predicate picks, and only those.

        Args:
            predicate: Picks them, from now on; None picks none any more.
            reason: What they fail with.
        """
        with self._lock:
            self._rejects, self._reason = predicate, reason

    def _next_failure(self) -> Exception | None:
        with self._lock:
            return self._failures.popleft() if self._failures else None

    def _refused(self, records: Sequence[Record]) -> tuple[list[Record], str]:
        with self._lock:
            predicate, reason = self._rejects, self._reason
        return [record for record in records if predicate is not None and predicate(record)], reason


def with_faults(backplane: object) -> tuple[object, Faults]:
    """Put faults around a backplane, none at first.

    Args:
        backplane: An instance, or another object or a module with ``@hookimpl`` functions.

    Returns:
        What to make a data plane with, and the faults to change.

    Raises:
        HookError: It does not follow the plugin API.
    """
    faults = Faults()
    options = getattr(backplane, "options", None)
    hooks = resolve(backplane, name=type(backplane).__name__, options=options)
    if hooks.write_batch is not None:
        return _with_faulty_batches(hooks, hooks.write_batch, faults), faults
    if hooks.publish is not None:
        return _FaultyQueue(hooks, hooks.publish, faults).hooks(), faults
    raise AssertionError("a backplane that was resolved takes records in one way or the other")


def _with_faulty_batches(
    hooks: Hooks, write: Callable[[Sequence[Record]], None], faults: Faults
) -> Hooks:
    def write_batch(records: Sequence[Record]) -> None:
        faults._moving.wait()  # noqa: SLF001  # this module's own class
        if error := faults._next_failure():  # noqa: SLF001  # as above
            raise error
        refused, reason = faults._refused(records)  # noqa: SLF001  # as above
        if not refused:
            write(records)
            return
        others = [record for record in records if record not in refused]
        if others:
            write(others)
        raise Permanent(reason, refused)

    def close(timeout: float) -> None:
        faults.release()  # a thread that is in a stalled write ends with its data plane
        if hooks.close is not None:
            hooks.close(timeout)

    return attrs.evolve(hooks, write_batch=write_batch, close=close)


class _FaultyQueue:
    """Stands before a ``publish``: keeps what is stalled, reports what is to fail."""

    def __init__(self, hooks: Hooks, publish: Callable[[Record], None], faults: Faults) -> None:
        self._hooks = hooks
        self._publish = publish
        self._faults = faults
        self._lock = threading.RLock()
        self._waiting: deque[Record] = deque()
        self._context: Context | None = None
        faults._released = self._let_go  # noqa: SLF001  # this module's own class

    def hooks(self) -> Hooks:
        """Give the backplane's hooks with these in their place."""
        return attrs.evolve(
            self._hooks,
            open=self._open,
            publish=self._queue,
            outstanding=self._outstanding if self._hooks.outstanding is not None else None,
            flush=self._flush,
            close=self._close,
        )

    def _open(self, context: Context) -> None:
        self._context = context
        self._hooks.open(context)

    def _queue(self, record: Record) -> None:
        with self._lock:
            if not self._faults.is_stalled:
                self._pass_on(record)
                return
            if self._context is not None and len(self._waiting) >= self._context.max_queue_size:
                raise QueueFullError("the stalled queue is full")
            self._waiting.append(record)

    def _pass_on(self, record: Record) -> None:
        error = self._faults._next_failure()  # noqa: SLF001  # this module's own class
        refused, reason = self._faults._refused([record])  # noqa: SLF001  # as above
        if self._context is not None and (error or refused):
            text = str(error) if error else reason
            self._context.failed(record, text, retryable=error is not None)
        else:
            self._publish(record)

    def _let_go(self) -> None:
        with self._lock:
            while self._waiting:
                self._pass_on(self._waiting.popleft())

    def _outstanding(self) -> int:
        inner = self._hooks.outstanding
        return len(self._waiting) + (inner() if inner is not None else 0)

    def _flush(self, timeout: float) -> bool | None:
        if not self._faults._moving.wait(timeout):  # noqa: SLF001  # this module's own class
            return False
        return None if self._hooks.flush is None else self._hooks.flush(timeout)

    def _close(self, timeout: float) -> None:
        with self._lock:
            left = list(self._waiting)
            self._waiting.clear()
        for record in left:
            if self._context is not None:
                self._context.failed(record, "stalled until the end", retryable=True)
        if self._hooks.close is not None:
            self._hooks.close(timeout)
