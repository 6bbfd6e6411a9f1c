"""The data planes of this process: drained when it ends, started clean when it is forked."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from experiment_framework._delivery import refuse_threads
from experiment_framework._termination import deferred_sigterm

__all__ = ["Open", "add", "close_at_exit_of_worker", "discard"]

SLICE: Final = 0.1
"""Seconds for which one data plane is waited for before the others have their turn."""

EXIT_PRIORITY: Final = 100
"""Of multiprocessing's finalizers, those with higher numbers run first; its own have less."""


class Open(NamedTuple):
    """What a process does with one data plane.

    Attributes:
        budget: Seconds that its end may take.
        flush: Delivers for some seconds, and goes on taking; says whether nothing is left.
        drain: Takes nothing any more and delivers for some seconds; says whether nothing is left.
        close: Lets everything go within some seconds; says what was lost.
        after_fork: Starts clean in a forked child.
    """

    budget: float
    flush: Callable[[float], bool]
    drain: Callable[[float], bool]
    close: Callable[[float], object]
    after_fork: Callable[[], None]


_open: dict[int, Open] = {}


def add(plane: object, what_to_do: Open) -> None:
    """Look after a data plane until it is discarded."""
    _open[id(plane)] = what_to_do
    # Handlers run in reverse order: what a backplane uses, and was set up before its data plane,
    # ends after this one, and before `_close_all`.
    atexit.unregister(_flush_all)
    atexit.register(_flush_all)


def discard(plane: object) -> None:
    """Forget a data plane."""
    _open.pop(id(plane), None)


def close_at_exit_of_worker() -> None:
    """Close what is open when a worker of multiprocessing ends: it runs no exit handlers.

    To be called in the worker itself, which forgets what its parent had asked for.
    """
    process = sys.modules.get("multiprocessing.process")
    if process is None or process.parent_process() is None:
        return
    from multiprocessing.util import Finalize

    if _Worker.process_id != os.getpid():
        _Worker.process_id = os.getpid()
        Finalize(None, _close_all, exitpriority=EXIT_PRIORITY)


class _Worker:
    process_id = 0


class _End:
    """When the end of this process began, on the monotonic clock; None before."""

    began: float | None = None


def _flush_all() -> None:
    """Deliver what is left while all that backplanes use is still there.

    Events are taken further on: handlers that run after this one may publish some.
    """
    if not _open:
        return
    refuse_threads(refuse=True)
    with deferred_sigterm(for_good=True):
        try:
            _in_turn(_deadlines(), lambda plane, budget: plane.flush(budget))
        except KeyboardInterrupt:
            _End.began = float("-inf")


@atexit.register
def _close_all() -> None:
    """Drain all within one budget, each in its turn: one that is stuck takes nothing from others.

    Ctrl-C ends the waiting. No thread is started.
    """
    if not _open:
        return
    refuse_threads(refuse=True)
    with deferred_sigterm(for_good=True):
        deadlines = _deadlines()
        try:
            _in_turn(deadlines, lambda plane, budget: plane.drain(budget))
        except KeyboardInterrupt:
            deadlines = dict.fromkeys(deadlines, 0.0)
        for plane, deadline in deadlines.items():
            with suppress(KeyboardInterrupt):
                plane.close(max(0.0, deadline - time.monotonic()))


def _deadlines() -> dict[Open, float]:
    """Give the end of each budget, which counts from the first handler on."""
    if _End.began is None:
        _End.began = time.monotonic()
    return {plane: _End.began + plane.budget for plane in _open.values()}


def _in_turn(deadlines: Mapping[Open, float], deliver: Callable[[Open, float], bool]) -> None:
    waiting = dict(deadlines)
    while waiting:
        for plane, deadline in list(waiting.items()):
            left = deadline - time.monotonic()
            if deliver(plane, max(0.0, min(left, SLICE))) or left <= 0:
                del waiting[plane]


def _start_clean() -> None:
    refuse_threads(refuse=False)
    _End.began = None
    for plane in list(_open.values()):
        try:
            plane.after_fork()
        except Exception:  # a plugin may raise anything; the others start clean all the same
            import logging

            logging.getLogger("experiment_framework").exception(
                "a data plane could not be started anew in a forked process"
            )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_clean)
