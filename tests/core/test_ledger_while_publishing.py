"""The accounts while several threads publish, and others read them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from accounts import is_balanced
from experiment_framework import DataPlane, DataPlaneOptions, Exposure, Stats
from experiment_framework.dataplane_options import SpoolOptions
from experiment_framework.plugin import Backplane
from sinks import BatchSink, NoOptions, SelfQueueing


class Prompt(SelfQueueing):
    """Reports failures only; a thread takes what is queued, and gives up every tenth."""

    def __init__(self) -> None:
        super().__init__()
        self._ends = threading.Event()
        self._count = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ends.is_set():
            if not self._queue:
                self._ends.wait(0.001)
                continue
            self._count += 1
            if not self._count % 10:
                self.context.failed(self._queue[0], "timed out", retryable=True)
            elif self.context.report_each:
                self.context.delivered(self._queue[0])
            self._queue.pop(0)

    def flush(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self._queue and time.monotonic() < deadline:
            self._ends.wait(0.001)
        return not self._queue

    def close(self, timeout: float) -> None:
        self._ends.set()
        self._thread.join()


@pytest.mark.parametrize("mode", [None, "overflow", "writeAhead"])
@pytest.mark.parametrize("kind", [BatchSink, Prompt])
def test_the_terms_are_never_negative_and_never_fall_while_several_threads_publish(
    kind: Callable[[], Backplane[NoOptions]],
    mode: Literal["overflow", "writeAhead"] | None,
    tmp_path: Path,
    exposure: Exposure,
) -> None:
    spool = mode and SpoolOptions(directory=tmp_path, mode=mode, fsync="never")
    plane = DataPlane(
        kind(),
        DataPlaneOptions(
            max_queue_size=100,
            batch_size=20,
            flush_interval_ms=1,
            failure_mode="spool" if spool else "drop",
            spool=spool,
        ),
    )
    looks: list[list[Stats]] = [[], []]
    is_over = threading.Event()

    def look(seen: list[Stats]) -> None:
        while not is_over.is_set():
            seen.append(plane.stats())

    publishers = [
        threading.Thread(target=lambda: [plane.publish(exposure) for _ in range(500)])
        for _ in range(4)
    ]
    readers = [threading.Thread(target=look, args=(seen,)) for seen in looks]
    for thread in readers + publishers:
        thread.start()
    for thread in publishers:
        thread.join()
    plane.close(20)
    is_over.set()
    for thread in readers:
        thread.join()
    for seen in looks:
        for before, after in itertools.pairwise(seen):
            assert is_balanced(after)
            assert min(after.pending, after.spooled) >= 0
            for term in ("offered", "failed", "delivered", "recovered", "dropped_total"):
                assert getattr(after, term) >= getattr(before, term) >= 0
    assert plane.stats().offered == 2000
    assert plane.stats().pending == 0
