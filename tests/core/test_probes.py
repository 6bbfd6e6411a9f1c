"""Liveness and readiness answer different questions, and neither waits."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from experiment_framework import DataPlane, Exposure
from experiment_framework.dataplane_options import FailureModes, SpoolOptions
from experiment_framework.plugin import Health
from experiment_framework.probes import Answer, liveness, readiness
from sinks import BatchSink, Control

MakePlane = Callable[..., DataPlane]


class Judged(BatchSink):
    """A sink that says what a test wants."""

    verdict = Health()

    def health(self) -> Health:
        return self.verdict


def statuses(plane: DataPlane) -> tuple[int, int]:
    return liveness(plane).status, readiness(plane).status


def test_a_data_plane_that_works_is_alive_and_ready(make_plane: MakePlane, sink: BatchSink) -> None:
    plane = make_plane(sink)
    assert statuses(plane) == (200, 200)
    status, body, content_type = readiness(plane)
    assert (status, content_type) == (200, "application/json")
    assert json.loads(body)["status"] == "HEALTHY"


def test_a_backplane_that_is_down_is_no_reason_to_restart(make_plane: MakePlane) -> None:
    sink = Judged()
    plane = make_plane(sink)
    sink.verdict = Health.judge(unhealthy=("nobody answers",))
    assert statuses(plane) == (200, 503)
    assert json.loads(liveness(plane).body)["reasons"] == ["nobody answers"]


def test_what_only_deserves_a_look_is_ready(make_plane: MakePlane) -> None:
    sink = Judged()
    plane = make_plane(sink)
    sink.verdict = Health.judge(degraded=("slow",))
    assert statuses(plane) == (200, 200)


def test_a_backplane_that_only_a_restart_helps_says_so(make_plane: MakePlane) -> None:
    sink = Judged()
    plane = make_plane(sink)
    sink.verdict = Health.judge(unhealthy=("broken",), details={"needsRestart": True})
    assert statuses(plane) == (503, 503)


def test_a_closed_data_plane_is_neither_alive_nor_ready(
    make_plane: MakePlane, sink: BatchSink
) -> None:
    plane = make_plane(sink)
    plane.close()
    assert statuses(plane) == (503, 503)


def test_a_full_queue_is_not_ready(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    plane = make_plane(sink, max_queue_size=2, batch_size=1, flush_interval_ms=1)
    deadline = time.monotonic() + 10
    while readiness(plane).status == 200 and time.monotonic() < deadline:
        plane.publish(exposure)
    assert statuses(plane) == (200, 503)


@pytest.fixture
def make_spooled(make_plane: MakePlane, tmp_path: Path) -> Callable[..., tuple[DataPlane, Judged]]:
    """Make data planes with the smallest spool that there may be, and the sink below."""

    def make(mode: str = "overflow", **written: Any) -> tuple[DataPlane, Judged]:
        sink = Judged()
        spool = SpoolOptions(
            directory=tmp_path / "spool",
            mode=mode,  # type: ignore[arg-type]  # a test gives one of the two
            max_bytes=2**20,
            when_full=written.pop("when_full", "reject"),
        )
        return make_plane(sink, spool=spool, **written), sink

    return make


DOWN = Health.judge(unhealthy=("nobody answers",))


def fill(plane: DataPlane, exposure: Exposure) -> None:
    """Publish until the spool drops what is new."""
    for _ in range(10_000):
        plane.publish(exposure)
        if plane.stats().dropped.get("spool_full"):
            return
    raise AssertionError(plane.stats())


@pytest.mark.parametrize("mode", ["overflow", "writeAhead"])
def test_a_spool_with_room_takes_events_whatever_the_backplane_does(
    make_spooled: Callable[..., tuple[DataPlane, Judged]], mode: str
) -> None:
    plane, sink = make_spooled(mode)
    sink.verdict = DOWN
    assert plane.health().status == "UNHEALTHY"
    assert statuses(plane) == (200, 200)


def test_a_spool_for_some_event_types_does_not_take_the_others(
    make_spooled: Callable[..., tuple[DataPlane, Judged]],
) -> None:
    plane, sink = make_spooled(failure_mode=FailureModes(default="drop", outcomes="spool"))
    assert statuses(plane) == (200, 200)
    sink.verdict = DOWN
    assert statuses(plane) == (200, 503)


def test_a_full_spool_is_not_ready_although_the_backplane_is_up(
    make_spooled: Callable[..., tuple[DataPlane, Judged]], exposure: Exposure
) -> None:
    plane, sink = make_spooled("writeAhead")
    Control(sink).hold()
    try:
        fill(plane, exposure)
        assert statuses(plane) == (200, 503)
        health = plane.health()
        assert health.status == "UNHEALTHY"
        assert "the spool is full: new events are dropped" in health.reasons
    finally:
        Control(sink).release()
    plane.flush(10)
    assert statuses(plane) == (200, 200)


def test_a_full_spool_that_drops_the_oldest_takes_events_and_says_what_it_costs(
    make_spooled: Callable[..., tuple[DataPlane, Judged]], exposure: Exposure
) -> None:
    plane, sink = make_spooled("writeAhead", when_full="dropOldest")
    Control(sink).hold()
    try:
        said: set[str] = set()
        for _ in range(10_000):
            plane.publish(exposure)
            said.update(plane.health().reasons)
            if any("waited longest" in reason for reason in said):
                break
        else:
            raise AssertionError(said)
        assert any(reason.startswith("the spool is 8") for reason in said)
        assert plane.health().status == "DEGRADED"
        assert statuses(plane) == (200, 200)
    finally:
        Control(sink).release()


@pytest.mark.parametrize("mode", ["overflow", "writeAhead"])
def test_a_disk_that_fails_is_told_and_is_not_counted_on(
    make_spooled: Callable[..., tuple[DataPlane, Judged]],
    exposure: Exposure,
    tmp_path: Path,
    mode: str,
) -> None:
    plane, sink = make_spooled(mode, max_queue_size=1, batch_size=1)
    shutil.rmtree(tmp_path / "spool")
    (tmp_path / "spool").write_text("no folder any more")
    Control(sink).hold()
    try:
        deadline = time.monotonic() + 10
        trouble = None
        while trouble is None:
            assert time.monotonic() < deadline
            plane.publish(exposure)
            answer = readiness(plane)
            health = json.loads(answer.body)
            trouble = health["details"]["spoolTrouble"]
        assert "is not a folder" in trouble
        assert trouble in health["reasons"]
        assert answer.status == 503
    finally:
        Control(sink).release()


def test_details_that_are_no_json_do_not_break_the_answer(make_plane: MakePlane) -> None:
    sink = Judged()
    plane = make_plane(sink)
    sink.verdict = Health(details={"client": object(), "ratio": float("nan")})
    answer = readiness(plane)
    assert isinstance(answer, Answer)
    assert json.loads(answer.body)["details"]["ratio"] is None
