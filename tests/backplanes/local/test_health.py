"""What health says does not depend on the backplane, as far as the backplane has it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from experiment_framework import DataPlane, Exposure
from waiting import wait_until

EXPOSURE = Exposure(experiment_name="checkout", variant_key="green", subject_id="user-1")
BACKPLANES = {
    "memory": {"type": "memory", "options": {"maxRecords": 1}},
    "file": {"type": "file", "options": {"path": "{folder}/events.jsonl"}},
    "logging": {"type": "logging", "options": {"logger": "test.health"}},
}
IN_ALL = ("processId", "callbackErrors", "breakerOpen", "takesEvents", "lastDeliveryAgeSeconds")
WITH_QUEUE = ("queueFill", "oldestPendingAgeSeconds")

Opened = Callable[..., DataPlane]


@pytest.fixture
def opened(tmp_path: Path, request: pytest.FixtureRequest) -> Opened:
    def opened(name: str, **data_plane: object) -> DataPlane:
        backplane = json.loads(json.dumps(BACKPLANES[name]).replace("{folder}", str(tmp_path)))
        declared = {"flushIntervalMs": 1, **data_plane, "backplane": backplane}
        plane = DataPlane.from_config({"experimentFramework": {"dataPlane": declared}})
        request.addfinalizer(lambda: plane.close(1))
        return plane

    return opened


@pytest.mark.parametrize("name", BACKPLANES)
def test_the_figures_are_there_and_say_when_something_arrived(
    name: str, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "test.health")
    plane = opened(name)
    expected = IN_ALL if name == "memory" else IN_ALL + WITH_QUEUE
    before = plane.health()
    assert [key for key in expected if key not in before.details] == []
    assert before.is_healthy
    assert before.details["lastDeliveryAgeSeconds"] is None
    plane.publish(EXPOSURE)
    assert plane.flush(10).delivered == 1
    after = plane.health().details
    assert 0 <= after["lastDeliveryAgeSeconds"] < 10
    assert after.get("oldestPendingAgeSeconds") is None
    assert after["processId"] == os.getpid()


@pytest.mark.parametrize("name", BACKPLANES)
def test_a_sink_that_refuses_is_unhealthy_and_not_ready(
    name: str, opened: Opened, tmp_path: Path
) -> None:
    plane = opened(name)
    if name == "file":
        (tmp_path / "events.jsonl").mkdir()
    if name == "logging":
        logging.getLogger("test.health").setLevel(logging.ERROR)
    plane.publish(EXPOSURE)  # which fills the memory
    plane.flush(10)
    health = plane.health()
    logging.getLogger("test.health").setLevel(logging.NOTSET)
    assert health.status == "UNHEALTHY"
    assert health.details["takesEvents"] is False
    if name != "memory":
        assert health.details["lastDeliveryAgeSeconds"] is None


def test_a_spool_goes_on_taking_events_where_the_file_does_not(
    opened: Opened, tmp_path: Path
) -> None:
    spool = {"directory": str(tmp_path / "spool")}
    plane = opened("file", failureMode="spool", spool=spool)
    (tmp_path / "events.jsonl").mkdir()
    plane.publish(EXPOSURE)
    wait_until(lambda: plane.health().details["spooled"] == 1, timeout=10, what="a spooled record")
    health = plane.health()
    assert health.status == "UNHEALTHY"
    assert health.details["takesEvents"] is True
    assert health.details["spoolBytes"] > 0
    assert any("1 records wait on disk, the oldest for" in reason for reason in health.reasons)
