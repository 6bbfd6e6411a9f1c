"""The one thread that puts on the disk what appends and acknowledgements have left to it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

__all__ = ["INTERVAL", "MOST_UNSYNCED", "Syncer"]

INTERVAL: Final = 0.05
"""Seconds after the first record that is not synced until a sync begins."""

MOST_UNSYNCED: Final = 1000
"""Records that are not synced, at which a sync begins at once."""

_STOP: Final = "stop"


class Syncer:
    """Calls ``sync`` a moment after it was woken, never twice at once.

    The thread starts when it is first woken. Where none can be started any more, because the
    interpreter is going down, whoever closes the spool syncs.
    """

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        # Unlike an Event, it may be woken by a signal handler in the midst of being woken.
        self._signals: SimpleQueue[str] = SimpleQueue()
        self._is_started = False

    def wake(self) -> None:
        """Have a sync begin within `INTERVAL`; at once, where it is already on its way."""
        if not self._is_started:
            self._is_started = True
            try:
                threading.Thread(target=self._run, name="experiment-spool", daemon=True).start()
            except RuntimeError:
                return
        self._signals.put("wake")

    def stop(self) -> None:
        """Let the thread end."""
        self._signals.put(_STOP)

    def _run(self) -> None:
        while self._signals.get() != _STOP:
            try:
                signal = self._signals.get(timeout=INTERVAL)
            except Empty:
                signal = ""
            self._sync()
            if signal == _STOP:
                return
