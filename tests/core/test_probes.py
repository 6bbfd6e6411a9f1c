"""Liveness and readiness answer different questions, and neither waits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from experiment_framework import DataPlane, Exposure
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


@pytest.mark.parametrize(("fill", "status"), [(0.5, 200), (1.0, 503)])
def test_a_spool_with_room_takes_events_whatever_the_backplane_does(
    make_plane: MakePlane, fill: float, status: int
) -> None:
    sink = Judged()
    plane = make_plane(sink)
    details = {"spooled": 3, "spoolFill": fill}
    sink.verdict = Health.judge(unhealthy=("nobody answers",), details=details)
    assert statuses(plane) == (200, status)


def test_details_that_are_no_json_do_not_break_the_answer(make_plane: MakePlane) -> None:
    sink = Judged()
    plane = make_plane(sink)
    sink.verdict = Health(details={"client": object(), "ratio": float("nan")})
    answer = readiness(plane)
    assert isinstance(answer, Answer)
    assert json.loads(answer.body)["details"]["ratio"] is None
