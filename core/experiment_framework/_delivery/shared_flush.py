"""One flush for all coroutines that await the fates of what they published."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from experiment_framework._delivery.settlement import Waiter
from experiment_framework._delivery.threads import start_thread
from experiment_framework.results import Receipt

__all__ = ["SharedFlush"]

SLICE: Final = 0.1
"""Longest flush in seconds: whoever came during one waits no longer for the next."""


class SharedFlush:
    """Flushes on a thread of its own, which lives as long as somebody waits.

    It serves backplanes that report failures only: a flush answers for everything that was accepted
    before it began. One thread for all, because an event loop's own are the application's.

    Args:
        flush: Flushes for some seconds; says whether all that was accepted before is settled.
    """

    def __init__(self, flush: Callable[[float], bool]) -> None:
        self._flush = flush
        self._lock = threading.Lock()
        self._waiting: dict[Waiter, Receipt] = {}
        self._thread: threading.Thread | None = None

    def join(self, waiter: Waiter, delivered: Receipt) -> None:
        """Settle this waiter with this receipt after the next flush that settles everything."""
        with self._lock:
            self._waiting[waiter] = delivered
            if self._thread is None or not self._thread.is_alive():
                self._thread = start_thread(self._run, "experiment-flush")

    def leave(self, waiter: Waiter) -> None:
        """Forget a waiter, whether or not it joined."""
        with self._lock:
            self._waiting.pop(waiter, None)

    def _run(self) -> None:
        while turn := self._turn():
            ends = time.monotonic() + SLICE
            if self._flush(SLICE):
                for waiter, delivered in turn.items():
                    waiter.settle(delivered)
                    self.leave(waiter)
            else:
                # A flush that cannot wait comes back at once: it is not asked without a pause.
                time.sleep(max(0.0, ends - time.monotonic()))

    def _turn(self) -> dict[Waiter, Receipt]:
        with self._lock:
            if not self._waiting:
                self._thread = None
            return dict(self._waiting)
