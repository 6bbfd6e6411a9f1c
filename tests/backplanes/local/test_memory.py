from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from experiment_framework import DataPlane, DataPlaneOptions, Exposure
from experiment_framework.envelope import Record
from experiment_framework.plugin import Query, QueueFullError
from experiment_framework_local import MemoryBackplane, MemoryOptions


def test_records_are_kept_in_the_order_they_were_published(
    records: Callable[[int], list[Record]],
) -> None:
    backplane = MemoryBackplane()
    published = records(10)
    for record in published:
        backplane.publish(record)
    assert backplane.records == tuple(published)
    assert [envelope.payload.subject_id for envelope in backplane.envelopes] == [
        f"user-{index}" for index in range(10)
    ]


def test_each_record_is_reported_where_the_context_asks_for_it(
    records: Callable[[int], list[Record]], context: Any
) -> None:
    backplane = MemoryBackplane()
    backplane._context = context
    published = records(3)
    for record in published:
        backplane.publish(record)
    assert context.delivered_records == published
    assert backplane.outstanding() == 0


def test_a_full_backplane_refuses_and_forgets_nothing(
    records: Callable[[int], list[Record]],
) -> None:
    backplane = MemoryBackplane(MemoryOptions(max_records=10))
    kept = records(10)
    for record in kept[:8]:
        backplane.publish(record)
    assert backplane.health().is_healthy
    backplane.publish(kept[8])
    assert backplane.health().status == "DEGRADED"
    backplane.publish(kept[9])
    with pytest.raises(QueueFullError, match="maxRecords is 10"):
        backplane.publish(records(1)[0])
    assert backplane.records == tuple(kept)
    health = backplane.health()
    assert health.status == "UNHEALTHY"
    assert (health.details["records"], health.details["maxRecords"]) == (10, 10)


def test_many_threads_never_exceed_the_bound(records: Callable[[int], list[Record]]) -> None:
    backplane = MemoryBackplane(MemoryOptions(max_records=1000))
    published = records(400)
    refused: list[Record] = []

    def publish() -> None:
        for record in published:
            try:
                backplane.publish(record)
            except QueueFullError:
                refused.append(record)

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(backplane.records) == 1000
    assert len(refused) == 600


def test_read_gives_what_a_query_asks_for(record: Callable[..., Record]) -> None:
    backplane = MemoryBackplane()
    early = record("a", timestamp=datetime.now(UTC) - timedelta(days=1))
    outcome = record("b", metric_name="bought", variant_key="control")
    other = record("c", experiment_name="search")
    for item in (early, outcome, other):
        backplane.publish(item)

    def bodies(**query: Any) -> list[bytes]:
        return [stored.body for stored in backplane.read(Query(**query))]

    assert bodies() == [early.body, outcome.body, other.body]
    assert bodies(event_types=frozenset({"Outcome"})) == [outcome.body]
    assert bodies(experiment_name="search") == [other.body]
    assert bodies(variant_key="control") == [outcome.body]
    assert bodies(since=datetime.now(UTC) - timedelta(hours=1)) == [outcome.body, other.body]
    assert bodies(from_start=False) == []
    stored = next(backplane.read(Query(event_types=frozenset({"Outcome"}))))
    assert stored.place == "memory:2"
    assert stored.headers == dict(outcome.headers())


def test_a_follower_gets_what_is_published_while_it_waits(
    records: Callable[[int], list[Record]],
) -> None:
    backplane = MemoryBackplane()
    before, *after = records(3)
    backplane.publish(before)
    stored = backplane.read(Query(follow=True, from_start=False))
    publisher = threading.Thread(target=lambda: [backplane.publish(record) for record in after])
    publisher.start()
    assert [next(stored).body for _ in after] == [record.body for record in after]
    publisher.join(5)
    backplane.close()
    assert list(stored) == []
    assert len(backplane.records) == 3


def test_a_follower_ends_after_its_idle_timeout_even_while_other_records_arrive(
    record: Callable[..., Record],
) -> None:
    backplane = MemoryBackplane()
    wanted = record(metric_name="bought")
    backplane.publish(wanted)
    done = threading.Event()

    def publish_others() -> None:
        while not done.wait(0.01):
            backplane.publish(record())

    publisher = threading.Thread(target=publish_others)
    publisher.start()
    try:
        query = Query(follow=True, idle_timeout=0.2, event_types=frozenset({"Outcome"}))
        assert [stored.body for stored in backplane.read(query)] == [wanted.body]
    finally:
        done.set()
        publisher.join(5)


def test_a_data_plane_over_a_full_memory_counts_what_it_drops() -> None:
    backplane = MemoryBackplane(MemoryOptions(max_records=2))
    event = Exposure(experiment_name="checkout", variant_key="a", subject_id="user-1")
    with DataPlane(backplane) as plane:
        answers = [plane.publish(event) for _ in range(5)]
        assert [answer.status for answer in answers] == ["accepted"] * 2 + ["dropped"] * 3
        assert answers[2].reason == "queue_full"
        assert plane.stats().dropped == {"queue_full": 3}
        assert plane.publish_and_wait(event, 1).status == "dropped"
    assert [record.event_id for record in backplane.records] == [
        answer.event_id for answer in answers[:2]
    ]


def test_blocking_on_a_full_memory_is_bounded() -> None:
    backplane = MemoryBackplane(MemoryOptions(max_records=1))
    options = DataPlaneOptions(failure_mode="block", block_timeout_ms=50)
    event = Exposure(experiment_name="checkout", variant_key="a", subject_id="user-1")
    with DataPlane(backplane, options) as plane:
        assert plane.publish_and_wait(event, 1).status == "delivered"
        began = time.monotonic()
        assert plane.publish(event).status == "dropped"
        assert time.monotonic() - began < 5
