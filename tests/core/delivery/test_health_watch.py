"""The health of a backplane that may have to be asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from experiment_framework import DataPlane
from experiment_framework._delivery import health_watch
from experiment_framework.plugin import Backplane, Health, Record, at_hand
from sinks import NoOptions
from waiting import wait_until


class Pinged(Backplane[NoOptions]):
    """A sink that is asked how it is, and answers as a test says."""

    def __init__(self) -> None:
        super().__init__(NoOptions())
        self._answer: Callable[[], Health] = Health
        self._asked_on: list[str] = []

    def write_batch(self, records: Sequence[Record]) -> None:
        """Take them."""

    def health(self) -> Health:
        self._asked_on.append(threading.current_thread().name)
        return self._answer()


class Looked(Pinged):
    """A sink that knows how it is."""

    @at_hand
    def health(self) -> Health:
        return super().health()


@pytest.fixture
def sink() -> Pinged:
    return Pinged()


@pytest.fixture
def plane(sink: Pinged) -> Iterator[DataPlane]:
    with DataPlane(sink) as plane:
        yield plane


@pytest.fixture
def stuck(sink: Pinged) -> Iterator[threading.Event]:
    """Have the next question never answered, until this is set."""
    released = threading.Event()

    def wait() -> Health:
        released.wait(60)
        return Health()

    sink._answer = wait
    yield released
    released.set()


def test_a_sink_is_asked_on_a_thread_of_core(sink: Pinged, plane: DataPlane) -> None:
    assert plane.health().is_healthy
    assert sink._asked_on == ["experiment-health"]


def test_figures_at_hand_are_looked_at_by_whoever_asks() -> None:
    sink = Looked()
    with DataPlane(sink) as plane:
        assert plane.health().is_healthy
    assert sink._asked_on == [threading.current_thread().name]


def test_each_answer_that_comes_at_once_is_the_present_one(sink: Pinged, plane: DataPlane) -> None:
    assert plane.health().is_healthy
    sink._answer = lambda: Health.judge(unhealthy=("away",))
    wait_until(lambda: plane.health().status == "UNHEALTHY", timeout=10, what="that answer")
    assert plane.health().reasons == ("away",)


def test_a_sink_that_never_answered_is_not_called_healthy(
    monkeypatch: pytest.MonkeyPatch, stuck: threading.Event, plane: DataPlane
) -> None:
    found = plane.health()
    assert found.status == "DEGRADED"
    assert found.details["answered"] is False
    monkeypatch.setattr(health_watch, "SILENT", 0.001)
    found = plane.health()
    assert found.status == "UNHEALTHY"
    assert "has not said for 0 s how it is doing" in found.message
    stuck.set()
    wait_until(lambda: plane.health().is_healthy, timeout=10, what="that answer")


def test_a_sink_that_stops_answering_is_unhealthy_in_the_end(
    monkeypatch: pytest.MonkeyPatch, sink: Pinged, stuck: threading.Event, plane: DataPlane
) -> None:
    hang, sink._answer = sink._answer, Health
    wait_until(lambda: plane.health().is_healthy, timeout=10, what="that answer")
    sink._answer = hang
    assert plane.health().is_healthy  # its last answer, for a while
    monkeypatch.setattr(health_watch, "SILENT", 0.001)
    assert plane.health().status == "UNHEALTHY"
    assert not stuck.is_set()


def test_a_stuck_sink_is_asked_once_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, stuck: threading.Event, sink: Pinged, plane: DataPlane
) -> None:
    monkeypatch.setattr(health_watch, "PATIENCE", 0.5)
    began = time.monotonic()
    for _ in range(100):
        plane.health()
    assert time.monotonic() - began < 30 * 0.5
    assert len(sink._asked_on) == 1


def test_a_hook_that_exits_is_an_answer_too(sink: Pinged, plane: DataPlane) -> None:
    def leave() -> Health:
        raise SystemExit(3)

    sink._answer = leave
    wait_until(lambda: "SystemExit(3)" in plane.health().message, timeout=10, what="that answer")
    sink._answer = Health
    wait_until(lambda: plane.health().is_healthy, timeout=10, what="that answer")


def test_the_thread_ends_with_the_data_plane(sink: Pinged) -> None:
    before = set(threading.enumerate())
    plane = DataPlane(sink)
    plane.health()
    plane.close(5)
    wait_until(
        lambda: set(threading.enumerate()) <= before, timeout=10, what="the end of the thread"
    )
