"""The one thread that puts on the disk what appends and acknowledgements have left to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from experiment_framework._delivery.threads import start_thread

__all__ = ["INTERVAL", "MOST_UNSYNCED", "Syncer"]

INTERVAL: Final = 0.05
"""Seconds after the first record that is not synced until a sync begins."""

MOST_UNSYNCED: Final = 1000
"""Records that are not synced, at which a sync begins at once."""

_SOON: Final = "soon"
_NOW: Final = "now"
_STOP: Final = "stop"


class Syncer:
    """Calls ``sync`` a moment after it was woken, never twice at once.

    The thread starts when it is first woken. Where none is started any more, because the process
    ends, whoever closes the spool syncs.
    """

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        # Unlike an Event, it may be woken by a signal handler in the midst of being woken.
        self._signals: SimpleQueue[str] = SimpleQueue()
        self._is_started = False

    def wake(self) -> None:
        """Have a sync begin within `INTERVAL`."""
        if not self._is_started:
            self._is_started = True
            if start_thread(self._run, "experiment-spool") is None:
                return
        self._signals.put(_SOON)

    def hurry(self) -> None:
        """Have a sync begin at once, where one is on its way."""
        self._signals.put(_NOW)

    def stop(self) -> None:
        """Let the thread end."""
        self._signals.put(_STOP)

    def _run(self) -> None:
        signal = ""
        while signal != _STOP:
            signal = self._signals.get()
            deadline = time.monotonic() + INTERVAL
            while signal == _SOON:  # others come while records are appended: they are served too
                try:
                    signal = self._signals.get(timeout=max(deadline - time.monotonic(), 0.0))
                except Empty:
                    break
            self._sync()
