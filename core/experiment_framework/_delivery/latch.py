"""Something that is waited for, and happens once."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Final

__all__ = ["Latch"]

SLICE: Final = 0.1
"""Longest single wait in seconds: Ctrl-C gets through on every platform."""


class Latch:
    """Opened once, by any thread.

    Unlike an Event it may also be opened by a signal handler of the thread that is about to wait
    for it: an Event would wait for a lock that this very thread holds.
    """

    def __init__(self) -> None:
        self._shut = threading.Lock()
        self._shut.acquire()

    @property
    def is_open(self) -> bool:
        """Whether it was opened."""
        return not self._shut.locked()

    def open(self) -> None:
        """Let those go on who wait; to open it again does nothing."""
        with suppress(RuntimeError):
            self._shut.release()

    def wait(self, deadline: float) -> None:
        """Wait until it is open, at most until a moment of the monotonic clock; one at a time."""
        while not self.is_open and (left := deadline - time.monotonic()) > 0:
            if self._shut.acquire(timeout=min(left, SLICE)):
                self._shut.release()
                return
