"""Several backplanes behind one data plane: nothing that one does is felt by the others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from accounts import is_balanced
from experiment_framework import DataPlane, DeliveryError, Envelope, Exposure, Outcome, decode
from experiment_framework.plugin import Permanent, Phase, Query, Step
from sinks import BatchSink, Control
from waiting import wait_until

PublishMany = Callable[[DataPlane, int], list[str]]


def test_each_member_gets_every_event_in_order(members: Any, publish: PublishMany) -> None:
    members.add("a", "b")
    plane = members.plane({"a": {}, "b": {"batchSize": 7}})
    ids = publish(plane, 100)
    assert plane.flush(10).is_complete
    assert members.arrived("a") == members.arrived("b") == ids
    stats = plane.stats()
    assert is_balanced(stats)
    assert {name: each.delivered for name, each in stats.members.items()} == {"a": 100, "b": 100}
    assert all(is_balanced(each) for each in stats.members.values())


def test_a_member_that_stalls_delays_no_other_one(members: Any, publish: PublishMany) -> None:
    members.add("stalled", "well")
    members.controls["stalled"].hold()
    plane = members.plane({"stalled": {"maxQueueSize": 20, "batchSize": 1}, "well": {}})
    began = time.monotonic()
    ids = publish(plane, 500)
    assert time.monotonic() - began < 5
    wait_until(lambda: members.arrived("well") == ids, timeout=10, what="all at the other one")
    stats = plane.stats()
    assert stats.members["well"].delivered == 500
    assert stats.members["stalled"].dropped["queue_full"] >= 478
    assert stats.failed == stats.members["stalled"].dropped_total
    assert is_balanced(stats)
    members.controls["stalled"].release()
    result = plane.flush(10)
    assert (result.pending, result.delivered) == (0, 500 - result.failed)


def test_an_event_is_delivered_when_all_required_members_have_it(
    members: Any, exposure: Exposure
) -> None:
    members.add("a", "b")
    members.controls["b"].hold()
    plane = members.plane({"a": {}, "b": {}})
    assert plane.publish_and_wait(exposure, 0.3).status == "accepted"
    assert members.arrived("a")
    members.controls["b"].release()
    assert plane.publish_and_wait(exposure, 10).status == "delivered"


def test_an_event_is_failed_when_a_required_member_gave_it_up(
    members: Any, exposure: Exposure
) -> None:
    members.add("a", "b")
    members.controls["b"].fail_next(Permanent("no such column"))
    plane = members.plane({"a": {}, "b": {}})
    receipt = plane.publish_and_wait(exposure, 10)
    assert (receipt.status, receipt.reason) == ("failed", "b: no such column")
    assert plane.flush(10).failed == 1
    stats = plane.stats()
    assert (stats.members["a"].delivered, stats.members["b"].failed) == (1, 1)


def test_a_member_that_is_not_required_decides_nothing(
    members: Any, exposure: Exposure, publish: PublishMany
) -> None:
    members.add("a", "extra")
    members.controls["extra"].hold()
    plane = members.plane({"a": {}, "extra": {"required": False}})
    assert plane.publish_and_wait(exposure, 10).status == "delivered"
    began = time.monotonic()
    result = plane.flush(30)
    assert time.monotonic() - began < 10
    assert result.is_complete
    assert plane.stats().members["extra"].pending == 1


def test_where_no_required_member_takes_it_one_that_does_is_enough(
    members: Any, exposure: Exposure
) -> None:
    members.add("a", "b", "c")
    members.controls["b"].fail_next(Permanent("no"))
    plane = members.plane(
        {"a": {"eventTypes": ["Outcome"]}, "b": {"required": False}, "c": {"required": False}}
    )
    assert plane.publish_and_wait(exposure, 10).status == "delivered"
    assert members.arrived("c")


def test_filters_choose_by_type_and_by_experiment(members: Any, exposure: Exposure) -> None:
    members.add("outcomes", "checkout", "rest")
    plane = members.plane(
        {
            "outcomes": {"eventTypes": ["Outcome"]},
            "checkout": {"experiments": ["checkout"]},
            "rest": {"eventTypes": ["Exposure"], "experiments": ["search"]},
        }
    )
    plane.publish(exposure, event_id="exposure")
    plane.publish(
        Outcome(
            experiment_name="search", metric_name="m", outcome_type="Count", value=1, subject_id="u"
        ),
        event_id="outcome",
    )
    plane.flush(10)
    assert members.arrived("outcomes") == ["outcome"]
    assert members.arrived("checkout") == ["exposure"]
    assert members.arrived("rest") == []


def test_an_event_that_no_member_takes_is_not_lost_in_silence(
    members: Any, exposure: Exposure
) -> None:
    members.add("outcomes")
    plane = members.plane({"outcomes": {"eventTypes": ["Outcome"]}})
    receipt = plane.publish_and_wait(exposure, 10)
    assert (receipt.status, receipt.reason) == ("failed", "no member takes it")


def test_events_with_one_id_are_told_apart(members: Any, exposure: Exposure) -> None:
    members.add("a", "b")
    members.controls["a"].hold()
    plane = members.plane({"a": {"batchSize": 2}, "b": {"batchSize": 3}})
    for _ in range(12):
        plane.publish(exposure, event_id="the same")
    members.controls["a"].release()
    assert plane.flush(10).delivered == 12
    assert is_balanced(plane.stats())


def test_a_member_with_a_disk_keeps_what_it_cannot_deliver(
    members: Any, publish: PublishMany, tmp_path: Path
) -> None:
    members.add("a", "b")
    members.controls["b"].fail_next(*[ConnectionError("down")] * 2)
    plane = members.plane({"a": {}, "b": {"spool": {"directory": str(tmp_path / "b")}}})
    ids = publish(plane, 50)
    assert plane.flush(20).is_complete
    assert members.arrived("a") == ids
    assert sorted(members.arrived("b")) == sorted(ids)


def test_what_waits_on_the_disk_of_a_member_is_not_followed_without_end(
    members: Any, publish: PublishMany, tmp_path: Path
) -> None:
    members.add("a", "b")
    members.controls["b"].fail_next(*[ConnectionError("down")] * 10_000)
    plane = members.plane(
        {"a": {}, "b": {"spool": {"directory": str(tmp_path / "b")}}}, maxQueueSize=30
    )
    publish(plane, 200)
    wait_until(lambda: len(members.arrived("a")) == 200, timeout=10, what="all at the other one")
    wait_until(
        lambda: plane.stats().members["b"].spooled > 150, timeout=10, what="them to be on disk"
    )
    assert len(plane.hooks.plugin._fates._awaited) <= 60
    assert is_balanced(plane.stats())


def test_close_gives_every_member_its_time_within_one_budget(
    members: Any, publish: PublishMany
) -> None:
    members.add("stalled", "well")
    members.controls["stalled"].hold()
    plane = members.plane({"stalled": {}, "well": {"flushIntervalMs": 3_600_000}})
    ids = publish(plane, 50)
    began = time.monotonic()
    result = plane.close(0.6)
    assert time.monotonic() - began < 3
    assert members.arrived("well") == ids
    assert (result.failed, result.pending) == (50, 0)
    assert is_balanced(plane.stats())


def test_health_is_that_of_the_worst_required_member(members: Any, exposure: Exposure) -> None:
    members.add("a", "b")
    plane = members.plane({"a": {"retryDeadlineMs": 0}, "b": {"required": False}})
    assert plane.health().is_healthy
    members.controls["b"].fail_next(*[OSError("no disk")] * 1000)
    plane.publish(exposure)
    wait_until(lambda: not plane.health().is_healthy, timeout=10, what="b to be in trouble")
    health = plane.health()
    assert health.status == "DEGRADED"
    assert health.reasons[0].startswith("b: ")
    assert health.details["members"]["b"]["status"] == "UNHEALTHY"
    members.controls["a"].fail_next(OSError("no disk"))
    plane.publish_and_wait(exposure, 10)
    assert plane.health().status == "UNHEALTHY"
    assert "a: " in plane.health().message


class Unopenable(BatchSink):
    def open(self) -> None:
        raise ConnectionError("nobody listens")


def test_a_required_member_that_cannot_be_opened_is_an_error(members: Any) -> None:
    members.add("a")
    members.add_plugin("b", Unopenable())
    with pytest.raises(DeliveryError, match="nobody listens") as caught:
        members.plane({"a": {}, "b": {}})
    assert "member b" in caught.value.__notes__[0]


def test_another_one_that_cannot_be_opened_only_degrades(members: Any, exposure: Exposure) -> None:
    members.add("a")
    members.add_plugin("b", Unopenable())
    plane = members.plane({"a": {}, "b": {"required": False}})
    assert plane.publish_and_wait(exposure, 10).status == "delivered"
    assert plane.health().status == "DEGRADED"
    assert "nobody listens" in plane.health().message


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_members_start_clean_in_a_forked_child(exposure: Exposure, tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    backplanes = [
        {"type": "file", "name": path.stem, "options": {"path": str(path)}} for path in paths
    ]
    config = {"experimentFramework": {"dataPlane": {"backplanes": backplanes}}}
    with DataPlane.from_config(config) as plane:
        plane.publish(exposure, event_id="parent")
        child = os.fork()
        if child == 0:
            plane.publish(exposure, event_id="child")
            result = plane.close(10)
            os._exit(0 if (result.delivered, result.pending) == (1, 0) else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    for path in paths:
        text = path.read_text()
        assert (text.count('"parent"'), text.count('"child"')) == (1, 1)


def test_events_are_read_back_from_the_first_member_that_can_or_the_one_named(
    exposure: Exposure, tmp_path: Path
) -> None:
    members = {
        "log": {"type": "logging", "eventTypes": ["Error"]},
        "memory": {"type": "memory"},
        "file": {"type": "file", "options": {"path": str(tmp_path / "events.jsonl")}},
    }
    for read_from, beginning in ((None, "memory:"), ("file", "events.jsonl:")):
        backplane = {
            "type": "composite",
            "options": {"members": members, "readFrom": read_from},
        }
        config = {"experimentFramework": {"dataPlane": {"backplane": backplane}}}
        with DataPlane.from_config(config) as plane:
            plane.publish(exposure)
            plane.flush(10)
            stored = next(iter(plane.read(Query())))
            assert stored.place.startswith(beginning)


class Stamping(Step[Any]):
    """Notes in the metadata what only the thread that publishes knows."""

    phase = Phase.ENRICH

    def apply(self, envelope: Envelope) -> Envelope:
        return msgspec.structs.replace(envelope, metadata={"thread": threading.get_ident()})


class Needing(BatchSink):
    """A member that needs a step of its own."""

    def steps(self) -> list[Step[Any]]:
        return [Stamping(None)]


def test_the_steps_that_a_member_needs_are_run(members: Any, exposure: Exposure) -> None:
    members.add("plain")
    needing = Needing()
    members.add_plugin("needing", needing)
    plane = members.plane({"plain": {}, "needing": {}})
    plane.publish(exposure)
    assert plane.flush(10).is_complete
    (record,) = Control(needing).records
    assert decode(record.body).metadata == {"thread": threading.get_ident()}
