from __future__ import annotations

import threading
import time
from collections.abc import Callable

from experiment_framework import Receipt
from experiment_framework._delivery.settlement import Waiter
from experiment_framework._delivery.shared_flush import SharedFlush

DELIVERED = Receipt("e-1", "delivered")


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        threading.Event().wait(0.005)


def flush_threads() -> int:
    return sum(thread.name == "experiment-flush" for thread in threading.enumerate())


def test_one_thread_serves_all_and_ends_when_nobody_waits() -> None:
    gate = threading.Event()
    shared = SharedFlush(gate.wait)
    waiters = [Waiter(lambda: None) for _ in range(20)]
    for waiter in waiters:
        shared.join(waiter, DELIVERED)
    assert flush_threads() == 1
    assert not any(waiter.receipt for waiter in waiters)
    gate.set()
    until(lambda: all(waiter.receipt == DELIVERED for waiter in waiters))
    until(lambda: not flush_threads())


def test_who_comes_during_a_flush_waits_for_the_next() -> None:
    flushes: list[threading.Event] = []

    def flush(_timeout: float) -> bool:
        flushes.append(threading.Event())
        return flushes[-1].wait(10)

    shared = SharedFlush(flush)
    early, late = Waiter(lambda: None), Waiter(lambda: None)
    shared.join(early, DELIVERED)
    until(lambda: len(flushes) == 1)
    shared.join(late, DELIVERED)
    flushes[0].set()
    until(lambda: len(flushes) == 2)
    assert early.receipt == DELIVERED
    assert late.receipt is None
    flushes[1].set()
    until(lambda: late.receipt == DELIVERED)


def test_a_flush_that_comes_back_at_once_is_asked_with_pauses() -> None:
    moments: list[float] = []

    def flush(_timeout: float) -> bool:
        moments.append(time.monotonic())
        return False

    shared = SharedFlush(flush)
    waiter = Waiter(lambda: None)
    shared.join(waiter, DELIVERED)
    until(lambda: len(moments) == 3)
    shared.leave(waiter)
    assert moments[2] - moments[0] > 0.15
    until(lambda: not flush_threads())
