"""The data planes of this process: drained when it ends, started clean when it is forked."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from uuid_utils import reseed_rng

from experiment_framework import _workers
from experiment_framework._delivery import refuse_threads
from experiment_framework._delivery.log import ERROR, write_log
from experiment_framework._termination import deferred_sigterm, forget_deferral

__all__ = ["Open", "add", "close_at_exit_of_worker", "discard"]

SLICE: Final = 0.1
"""Seconds for which one data plane is waited for before the others have their turn."""

HOLD: Final = 0.2
"""Longest time in seconds that a fork waits for batches that are being written."""

PAUSE: Final = 0.005
"""Seconds between two rounds of data planes that cannot wait for what is left."""


class Open(NamedTuple):
    """What a process does with one data plane.

    Attributes:
        budget: Seconds that its end may take.
        flush: Delivers for some seconds, and goes on taking; says whether nothing is left.
        drain: Takes nothing any more and delivers for some seconds; says whether nothing is left.
        close: Lets everything go within some seconds; says what was lost.
        before_fork: Waits for some seconds until the sink is not in the midst of something; gives
            what lets it go on, where it has to be told.
        after_fork: Starts clean in a forked child.
    """

    budget: float
    flush: Callable[[float], bool]
    drain: Callable[[float], bool]
    close: Callable[[float], object]
    before_fork: Callable[[float], Callable[[], None] | None]
    after_fork: Callable[[], None]


class _Process:
    id = os.getpid()
    ends_logging = False


class _Held(threading.local):
    """What goes on after the fork that this thread is at."""

    def __init__(self) -> None:
        self.go_on: list[Callable[[], None]] = []


_held = _Held()


_open: dict[int, Open] = {}


def add(plane: object, what_to_do: Open) -> None:
    """Look after a data plane until it is discarded; to be called where logging is loaded."""
    _open[id(plane)] = what_to_do
    # Handlers run in reverse order: what a backplane uses, and was set up before its data plane,
    # ends after this one, and before `_close_all`.
    atexit.unregister(_flush_all)
    atexit.register(_flush_all)
    _workers.notice_forks(_start_clean_once)
    if not _had_logging and not _Process.ends_logging:
        # Exit handlers run in the reverse order: its own would close its files before we say what
        # was lost.
        import logging

        atexit.unregister(logging.shutdown)
        _Process.ends_logging = True


def discard(plane: object) -> None:
    """Forget a data plane."""
    _open.pop(id(plane), None)


def close_at_exit_of_worker() -> None:
    """Close what is open when a worker ends that runs no exit handlers; to be called in it."""
    _workers.call_at_end(_close_all)


_had_logging: Final = "logging" in sys.modules


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
        if not _deliver_in_time(_deadlines(), lambda plane, budget: plane.flush(budget)):
            _End.began = float("-inf")


@atexit.register
def _close_all() -> None:
    """Drain all within one budget, each in its turn: one that is stuck takes nothing from others.

    Ctrl-C ends the waiting. No thread is started.
    """
    try:
        if _open:
            refuse_threads(refuse=True)
            with deferred_sigterm(for_good=True):
                _close_within_budgets()
    finally:
        if _Process.ends_logging:
            import logging

            logging.shutdown()


def _close_within_budgets() -> None:
    deadlines = _deadlines()
    if not _deliver_in_time(deadlines, lambda plane, budget: plane.drain(budget)):
        deadlines = dict.fromkeys(deadlines, 0.0)
    for plane, deadline in deadlines.items():
        with suppress(KeyboardInterrupt, SystemExit):
            _close(plane, max(0.0, deadline - time.monotonic()))


def _deadlines() -> dict[Open, float]:
    """Give the end of each budget, which counts from the first handler on."""
    if _End.began is None:
        _End.began = time.monotonic()
    return {plane: _End.began + plane.budget for plane in _open.values()}


def _deliver_in_time(
    deadlines: Mapping[Open, float], deliver: Callable[[Open, float], bool]
) -> bool:
    """Let each deliver within its budget; False where Ctrl-C put an end to it."""
    while True:
        try:
            _in_turn(deadlines, deliver)
        except KeyboardInterrupt:
            return False
        except SystemExit:  # a signal handler of the application asks for what is under way
            continue
        return True


def _in_turn(deadlines: Mapping[Open, float], deliver: Callable[[Open, float], bool]) -> None:
    waiting = dict(deadlines)
    while waiting:
        began = time.monotonic()
        for plane, deadline in list(waiting.items()):
            left = deadline - time.monotonic()
            if _is_through(plane, deliver, max(0.0, min(left, SLICE))) or left <= 0:
                del waiting[plane]
        if waiting and time.monotonic() - began < PAUSE:
            time.sleep(PAUSE)


def _is_through(plane: Open, deliver: Callable[[Open, float], bool], timeout: float) -> bool:
    try:
        return deliver(plane, timeout)
    except Exception as error:  # noqa: BLE001  # a plugin may raise anything: it is closed all the same
        _log_failure("a data plane could not be drained at the end of the process", error)
        return True


def _close(plane: Open, timeout: float) -> None:
    try:
        plane.close(timeout)
    except Exception as error:  # noqa: BLE001  # a plugin may raise anything: others are closed too
        _log_failure("a data plane could not be closed at the end of the process", error)


def _hold_still() -> None:
    deadline = time.monotonic() + HOLD
    for plane in list(_open.values()):
        go_on = plane.before_fork(max(0.0, deadline - time.monotonic()))
        if go_on is not None:
            _held.go_on.append(go_on)


def _go_on() -> None:
    while _held.go_on:
        _held.go_on.pop()()


def _start_clean_once() -> None:
    """Start clean in a process that was forked without Python's knowledge."""
    if _Process.id != os.getpid():
        reseed_rng()  # else event ids would be those of its siblings
        _start_clean()


def _start_clean() -> None:
    _go_on()
    _Process.id = os.getpid()
    refuse_threads(refuse=False)
    _End.began = None
    forget_deferral()
    for plane in list(_open.values()):
        try:
            plane.after_fork()
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything: others start clean too
            _log_failure("a data plane could not be started anew in a forked process", error)


def _log_failure(message: str, error: Exception) -> None:
    write_log(ERROR, message, error)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_still, after_in_parent=_go_on, after_in_child=_start_clean)
