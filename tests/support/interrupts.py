"""Ctrl-C in the worst of moments."""

from __future__ import annotations

import signal
import threading
from typing import Any

__all__ = ["InterruptedLock"]


class InterruptedLock:
    """The lock of a `threading.Condition`; a signal comes once, as the main thread lets go of it.

    It does so in order to wait: then the ``with`` statement around the wait fails.

    Args:
        number: The signal; Ctrl-C by default.
    """

    def __init__(self, number: signal.Signals = signal.SIGINT) -> None:
        self._lock: Any = threading.RLock()
        self.acquire, self.release = self._lock.acquire, self._lock.release
        self._acquire_restore, self._is_owned = self._lock._acquire_restore, self._lock._is_owned
        self._number = number
        self._has_come = False

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _release_save(self) -> object:
        state = self._lock._release_save()
        if not self._has_come and threading.current_thread() is threading.main_thread():
            self._has_come = True
            signal.raise_signal(self._number)
        return state
