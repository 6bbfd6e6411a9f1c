"""Ctrl-C comes out of every wait as Ctrl-C, in whichever moment of it it came."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest
from experiment_framework import DataPlane, Exposure
from experiment_framework._interrupts import interrupts_intact
from experiment_framework.plugin import Backplane, Record
from interrupts import InterruptedLock
from sinks import NoOptions


def _wait() -> None:
    changed = threading.Condition(InterruptedLock())  # type: ignore[arg-type]  # as good as one
    with changed:
        changed.wait(30)


class Waiting(Backplane[NoOptions]):
    """Waits in one of its hooks, where Ctrl-C comes."""

    def __init__(self, hook: str) -> None:
        super().__init__(NoOptions())
        self._hook = hook

    def publish(self, record: Record) -> None:
        self._at("publish")

    def flush(self, timeout: float) -> None:
        self._at("flush")

    def close(self, timeout: float) -> None:
        self._at("close")

    def outstanding(self) -> int:
        return 0

    def _at(self, hook: str) -> None:
        if hook == self._hook:
            self._hook = ""
            _wait()


def test_a_wait_that_is_interrupted_may_raise_something_else() -> None:
    with pytest.raises(RuntimeError, match="release"):
        _wait()


@pytest.mark.parametrize(
    ("hook", "act"),
    [
        ("publish", lambda plane, event: plane.publish(event)),
        ("publish", lambda plane, event: plane.publish_and_wait(event, 30)),
        ("flush", lambda plane, _event: plane.flush(30)),
        ("flush", lambda plane, _event: plane.close(30)),
        ("close", lambda plane, _event: plane.close(30)),
    ],
)
def test_ctrl_c_gets_through_a_backplane_that_waits(
    hook: str, act: Callable[[DataPlane, Exposure], object], exposure: Exposure
) -> None:
    plane = DataPlane(Waiting(hook))
    with pytest.raises(KeyboardInterrupt):
        act(plane, exposure)
    plane.close(1)
    assert not plane.stats().dropped


def test_an_error_is_no_interrupt_because_one_is_being_handled(exposure: Exposure) -> None:
    class Broken(Waiting):
        def _at(self, hook: str) -> None:
            raise ValueError(hook)

    plane = DataPlane(Broken(""))
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        assert plane.publish(exposure).reason == "backplane_failed"
        plane.flush(1)
        plane.close(1)


def test_an_error_that_no_interrupt_is_behind_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="x"), interrupts_intact():
        raise ValueError("x")
