"""Health answers at once, whatever is stuck, and has the figures of this process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from experiment_framework import DataPlane, DataPlaneOptions, Exposure
from experiment_framework.dataplane_options import SpoolOptions
from experiment_framework.metrics import prometheus_text
from experiment_framework.probes import liveness, readiness
from sinks import BatchSink, Control
from waiting import wait_until

MakePlane = Callable[..., DataPlane]

AT_ONCE = 5.0
"""Seconds for all answers: they take a millisecond, and what is stuck is so for half a minute."""


class StuckDisk:
    """Holds up whoever forces something onto the disk."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.goes_on = threading.Event()

    def fdatasync(self, descriptor: int) -> None:
        self.reached.set()
        self.goes_on.wait(30)


@pytest.fixture
def stuck_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[StuckDisk]:
    disk = StuckDisk()
    monkeypatch.setattr(os, "fdatasync", disk.fdatasync)
    yield disk
    disk.goes_on.set()


def answers_at_once(plane: DataPlane) -> bool:
    began = time.monotonic()
    plane.health()
    plane.stats()
    liveness(plane)
    readiness(plane)
    prometheus_text(plane)
    return time.monotonic() - began < AT_ONCE


@pytest.mark.parametrize("mode", ["overflow", "writeAhead"])
def test_a_disk_that_stalls_below_the_spool_does_not_hold_up_an_answer(
    make_plane: MakePlane,
    exposure: Exposure,
    tmp_path: Path,
    stuck_disk: StuckDisk,
    mode: str,
) -> None:
    sink = BatchSink()
    spool = SpoolOptions(
        directory=tmp_path,
        mode=mode,  # type: ignore[arg-type]  # one of the two
        fsync="always",
    )
    plane = make_plane(sink, spool=spool, max_queue_size=1, batch_size=1)
    control = Control(sink)
    control.hold()

    def publish_until_stuck() -> None:
        while not stuck_disk.reached.is_set():
            plane.publish(exposure)

    publisher = threading.Thread(target=publish_until_stuck)
    publisher.start()
    try:
        assert stuck_disk.reached.wait(10)
        assert answers_at_once(plane)
        assert publisher.is_alive(), "nothing was stuck"
    finally:
        stuck_disk.goes_on.set()
        control.release()
        publisher.join(10)


def test_a_sink_that_hangs_does_not_hold_up_an_answer(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    plane = make_plane(sink, batch_size=1)
    plane.publish(exposure)
    wait_until(
        lambda: plane.health().details["oldestPendingAgeSeconds"], timeout=10, what="a batch"
    )
    assert answers_at_once(plane)


def test_a_close_that_waits_does_not_hold_up_an_answer(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    plane = make_plane(sink, batch_size=1)
    plane.publish(exposure)
    closer = threading.Thread(target=plane.close, args=(10,))
    closer.start()
    try:
        wait_until(lambda: "closed" in plane.health().message, timeout=10, what="closing")
        assert answers_at_once(plane)
        assert closer.is_alive(), "close did not wait"
    finally:
        control.release()
        closer.join(10)


def test_callbacks_that_raise_are_counted_in_it(sink: BatchSink, exposure: Exposure) -> None:
    def on_delivery(_: object) -> None:
        raise ValueError("mine")

    with DataPlane(sink, DataPlaneOptions(flush_interval_ms=1), on_delivery=on_delivery) as plane:
        assert plane.health().details["callbackErrors"] == 0
        plane.publish(exposure)
        wait_until(
            lambda: plane.health().details["callbackErrors"] == 1, timeout=10, what="the error"
        )


def test_what_is_closed_says_so_and_of_which_process(make_plane: MakePlane) -> None:
    plane = make_plane(BatchSink())
    plane.close()
    health = plane.health()
    assert health.reasons == ("the data plane is closed",)
    assert health.details == {
        "needsRestart": True,
        "takesEvents": False,
        "processId": os.getpid(),
    }
