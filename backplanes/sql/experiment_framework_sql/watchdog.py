"""Bounds the wait for a database that accepts and never answers.

A server's own time limits do not help where the server stands still, and a client waits for the
answer without a limit. What waits too long is cut off here: to the client, its connection is lost.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["Watchdog"]

_LONGEST_NAP: Final = 1.0
_SHORTEST_NAP: Final = 0.05
_IDLE: Final = 10.0
"""Seconds without anything to watch after which the thread ends."""


class Watchdog:
    """Shuts sockets down that are used for too long, on one thread that is there when needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[int, float] = {}
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._last_use = 0.0

    @contextmanager
    def watching(self, descriptor: int, seconds: float) -> Iterator[None]:
        """Cut the connection behind a socket's descriptor if this block takes too long."""
        own = self.watch(descriptor, seconds)
        try:
            yield
        finally:
            self.release(own)

    def watch(self, descriptor: int, seconds: float) -> int:
        """Cut a connection after so many seconds; give what `release` is called with before."""
        # A number of our own: the driver may close its own, and the system give it to another file.
        own = os.dup(descriptor)
        with self._lock:
            self._last_use = time.monotonic()
            self._watched[own] = self._last_use + seconds
            if self._thread is None:
                self._start(seconds)
        return own

    def release(self, own: int) -> None:
        """Watch a connection no longer."""
        with self._lock:
            del self._watched[own]
            os.close(own)

    def stop(self) -> None:
        """End the thread once nobody is watched; who comes later gets another."""
        with self._lock:
            self._stop.set()
            self._thread = None

    def _start(self, seconds: float) -> None:
        nap = min(max(seconds / 8, _SHORTEST_NAP), _LONGEST_NAP)
        self._stop = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(nap, self._stop), name="experiment-sql-watchdog", daemon=True
        )
        # While the interpreter ends there are no new threads; whoever ends it has its own limit.
        with suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def _run(self, nap: float, stop: threading.Event) -> None:
        while True:
            is_stopped = stop.wait(nap)
            with self._lock:
                now = time.monotonic()
                for own, deadline in self._watched.items():
                    if deadline <= now:
                        _shut_down(own)
                if not self._watched and (is_stopped or now - self._last_use > _IDLE):
                    if self._stop is stop:
                        self._thread = None
                    return
            if is_stopped:  # and somebody is still being watched
                time.sleep(nap)


def _shut_down(descriptor: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
        connection.shutdown(socket.SHUT_RDWR)
