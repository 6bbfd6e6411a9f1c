"""Threads that begin with their first work, and none any more once the process ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["LazyThread", "refuse_threads", "start_thread"]


class _Process:
    is_ending = False


def refuse_threads(*, refuse: bool) -> None:
    """Start none from now on: the process ends, and what is left is done by who ends it."""
    _Process.is_ending = refuse


def start_thread(run: Callable[[], object], name: str) -> threading.Thread | None:
    """Start a thread that does not keep the process alive; None where the process ends."""
    if _Process.is_ending:
        return None
    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is going down
        return None
    return thread


class LazyThread:
    """A thread that begins with its first work, once.

    Also where a signal handler has work for it in the midst of its start, or Ctrl-C ends that.

    Args:
        run: What it does.
        name: What it is called.
    """

    def __init__(self, run: Callable[[], object], name: str) -> None:
        self._run = run
        self._name = name
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless that was done; called under a lock of its owner's.

        Where the process ends none is begun; whoever ends it does what is left.
        """
        if self._thread is not None or _Process.is_ending:
            return
        self._thread = thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is going down
            self._thread = None

    @property
    def is_there(self) -> bool:
        """Whether it was begun."""
        return self._thread is not None

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether this very thread asks."""
        return self._thread is threading.current_thread()

    def join(self, timeout: float) -> None:
        """Wait until it has ended, at most ``timeout`` seconds; not for itself."""
        if self._thread is not None and not self.is_current:
            self._thread.join(timeout)
