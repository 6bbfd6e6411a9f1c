"""SIGTERM becomes an ordinary end of the program, so that what is open is drained.

The handler only raises, or remembers that it has to: nothing is flushed, locked or logged in it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["TERMINATED", "Terminated", "deferred_sigterm", "forget_deferral", "install"]

TERMINATED: Final = 128 + 15
"""The exit code of a program that SIGTERM ended, as shells have it."""

Handler: TypeAlias = "Callable[[int, FrameType | None], object]"


class Terminated(SystemExit):  # an end like SystemExit, and no error
    """SIGTERM asked the program to end."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


class _Deferral:
    """How deep the main thread is in what SIGTERM has to wait for, and what it asked for."""

    depth = 0
    end: SystemExit | None = None


class _Sigterm:
    """The handler: the previous one where there was one, else the end of the main thread."""

    def __init__(self, previous: Handler | None) -> None:
        self._previous = previous

    def __call__(self, number: int, frame: FrameType | None) -> None:
        try:
            if self._previous is not None:
                self._previous(number, frame)
                return
            end: SystemExit = Terminated()
        except SystemExit as asked:
            end = asked
        if not _Deferral.depth:
            raise end
        _Deferral.end = end


def install() -> Callable[[], None]:
    """Install the handler; give a function that takes it away again.

    Nothing is installed where SIGTERM is ignored, or handled by what Python does not know, or by
    this already.

    Raises:
        ValueError: This is not the main thread.
    """
    import signal

    previous = signal.getsignal(signal.SIGTERM)
    if previous is None or previous == signal.SIG_IGN or isinstance(previous, _Sigterm):
        return lambda: None
    handler = _Sigterm(previous if callable(previous) else None)
    signal.signal(signal.SIGTERM, handler)

    def restore() -> None:
        # Whoever came later keeps the signal, and chains to ours, which goes on to work.
        if signal.getsignal(signal.SIGTERM) is handler:
            signal.signal(signal.SIGTERM, previous)

    return restore


@contextmanager
def deferred_sigterm(*, for_good: bool = False) -> Iterator[None]:
    """Let a SIGTERM that comes inside the block wait until its end; Ctrl-C still gets through.

    Args:
        for_good: Whether the process ends with this block anyway: then the signal has come true.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs signal handlers in the main thread only
        return
    _Deferral.depth += 1
    try:
        yield
    finally:
        if not for_good:
            _Deferral.depth = max(_Deferral.depth - 1, 0)  # it is 0 in a child that was forked here
        end = _Deferral.end
        if end is not None and not _Deferral.depth:
            _Deferral.end = None
            raise end


def forget_deferral() -> None:
    """Let nothing wait in a forked child: what the parent is in the midst of, it may not be."""
    _Deferral.depth = 0
    _Deferral.end = None
