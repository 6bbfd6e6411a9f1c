"""Which records share a partition, on real topics."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import pytest
from apache_kafka import ApacheKafka
from experiment_framework import DataPlane, Exposure
from kafka.partitioner.default import murmur2
from kafka_audit import stored_records
from waiting import wait_until

PARTITIONS = 6


def partition_counts(broker: ApacheKafka, topic: str) -> Counter[int]:
    return Counter(found.partition for found in stored_records(broker.bootstrap_servers, topic))


@pytest.mark.parametrize(
    ("partition_by", "field"),
    [
        ("experimentKey", "experimentName"),
        ("subjectId", "subjectId"),
        ("tenantId", "tenantId"),
    ],
)
def test_events_of_one_key_keep_their_order_on_the_partition_that_java_would_choose(
    partition_by: str,
    field: str,
    kafka_broker: ApacheKafka,
    new_topic: Callable[[int], str],
    open_plane: Callable[..., DataPlane],
    exposures: Callable[..., Iterator[Exposure]],
) -> None:
    topic = new_topic(PARTITIONS)
    plane = open_plane(topic=topic, partition_by=partition_by)
    for event in exposures(700):
        plane.publish(event)
    assert plane.flush(timeout=30).delivered == 700
    stored = stored_records(kafka_broker.bootstrap_servers, topic)
    assert len(stored) == 700
    numbers = defaultdict(list)
    for found in stored:
        payload = json.loads(found.value)["payload"]
        assert found.key == payload[field].encode()
        assert found.partition == (murmur2(found.key) & 0x7FFF_FFFF) % PARTITIONS
        numbers[found.key].append(payload["attributes"]["number"])
    assert all(order == sorted(order) for order in numbers.values())


def test_round_robin_fills_partitions_evenly_and_without_keys(
    kafka_broker: ApacheKafka,
    new_topic: Callable[[int], str],
    open_plane: Callable[..., DataPlane],
    exposures: Callable[..., Iterator[Exposure]],
) -> None:
    topic = new_topic(PARTITIONS)
    plane = open_plane(topic=topic, partition_by="roundRobin")
    first = next(exposures(1))
    assert plane.publish_and_wait(first, 20).status == "delivered"
    wait_until(lambda: plane.health().is_healthy, timeout=20, what="a healthy plane")
    before = Counter(
        found.partition for found in stored_records(kafka_broker.bootstrap_servers, topic)
    )
    for event in exposures(600):
        plane.publish(event)
    plane.flush(timeout=30)
    added = partition_counts(kafka_broker, topic) - before
    assert added == dict.fromkeys(range(PARTITIONS), 100)
    stored = stored_records(kafka_broker.bootstrap_servers, topic)
    assert {found.key for found in stored} == {None}
