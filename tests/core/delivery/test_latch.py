from __future__ import annotations

import signal
import threading
import time
from types import FrameType

import pytest
from experiment_framework._delivery import Latch


def test_it_lets_those_go_on_who_wait_and_who_come_later() -> None:
    latch = Latch()
    threading.Timer(0.05, latch.open).start()
    began = time.monotonic()
    latch.wait(began + 30)
    latch.wait(began + 30)
    assert latch.is_open
    assert time.monotonic() - began < 20


def test_a_wait_ends_when_its_time_is_over() -> None:
    latch = Latch()
    latch.wait(time.monotonic() + 0.01)
    assert not latch.is_open


def test_to_open_it_twice_is_to_open_it() -> None:
    latch = Latch()
    latch.open()
    latch.open()
    assert latch.is_open


def test_a_signal_handler_of_the_thread_that_waits_may_open_it_at_any_moment() -> None:
    latches = [Latch() for _ in range(300)]
    waiting: list[Latch] = []

    def open_those_that_are_waited_for(_number: int, _frame: FrameType | None) -> None:
        for latch in waiting:
            latch.open()

    previous = signal.signal(signal.SIGALRM, open_those_that_are_waited_for)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        deadline = time.monotonic() + 30
        for latch in latches:
            waiting[:] = [latch]
            latch.wait(deadline)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert all(latch.is_open for latch in latches)


@pytest.mark.parametrize("threads", [1, 5])
def test_several_threads_may_open_it_at_once(threads: int) -> None:
    latch = Latch()
    openers = [threading.Thread(target=latch.open) for _ in range(threads)]
    for opener in openers:
        opener.start()
    latch.wait(time.monotonic() + 30)
    for opener in openers:
        opener.join()
    assert latch.is_open
