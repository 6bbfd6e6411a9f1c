"""Backplanes of which a test decides what they do."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from experiment_framework.plugin import Backplane, QueueFullError, Record, options


@options
class NoOptions:
    """Nothing to say."""


class BatchSink(Backplane[NoOptions]):
    """A blocking sink; it can be held up and told to fail."""

    def __init__(self) -> None:
        super().__init__(NoOptions())
        self._gate = threading.Event()
        self._gate.set()
        self._failures: deque[BaseException] = deque()
        self._batches: list[list[Record]] = []

    def write_batch(self, records: Sequence[Record]) -> None:
        self._gate.wait(30)
        if self._failures:
            raise self._failures.popleft()
        self._batches.append(list(records))

    def close(self, timeout: float) -> None:
        self._gate.set()


class Control:
    """What a test does to a `BatchSink`, without becoming one of its hooks."""

    def __init__(self, sink: BatchSink) -> None:
        self._sink = sink

    def hold(self) -> None:
        self._sink._gate.clear()

    def release(self) -> None:
        self._sink._gate.set()

    def fail_next(self, *errors: BaseException) -> None:
        self._sink._failures.extend(errors)

    @property
    def batches(self) -> list[list[Record]]:
        return list(self._sink._batches)

    @property
    def records(self) -> list[Record]:
        return [record for batch in self.batches for record in batch]


class SelfQueueing(Backplane[NoOptions]):
    """A client that queues by itself and reports failures only, as the Kafka one does."""

    def __init__(self, room: int = 1000) -> None:
        super().__init__(NoOptions())
        self._room = room
        self._queue: list[Record] = []
        self._full: Callable[[], bool] = lambda: len(self._queue) >= self._room

    def publish(self, record: Record) -> None:
        if self._full():
            raise QueueFullError("no room")
        self._queue.append(record)

    def outstanding(self) -> int:
        return len(self._queue)

    def flush(self, timeout: float) -> None:
        self._queue.clear()
