"""Compression and acknowledgement, as the broker stored them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from apache_kafka import ApacheKafka
from experiment_framework import DataPlane, Exposure
from kafka_audit import stored_records
from waiting import wait_until


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_batches_are_stored_with_the_declared_compression(
    codec: str,
    kafka_broker: ApacheKafka,
    new_topic: Callable[[int], str],
    open_plane: Callable[..., DataPlane],
    exposures: Callable[..., Iterator[Exposure]],
) -> None:
    topic = new_topic(1)
    plane = open_plane(topic=topic, compression_type=codec, linger_ms=50)
    ids = [plane.publish(event).event_id for event in exposures(300)]
    assert plane.flush(timeout=30).delivered == 300
    stored = stored_records(kafka_broker.bootstrap_servers, topic)
    assert [found.headers["event-id"].decode() for found in stored] == ids
    assert kafka_broker.stored_codecs(topic) == {codec}


@pytest.mark.parametrize(
    ("acks", "enable_idempotence"),
    [("all", True), ("-1", True), ("all", False), ("1", False), ("0", False)],
)
def test_every_compatible_acknowledgement_delivers(
    acks: str,
    enable_idempotence: bool,
    kafka_broker: ApacheKafka,
    new_topic: Callable[[int], str],
    open_plane: Callable[..., DataPlane],
    exposures: Callable[..., Iterator[Exposure]],
) -> None:
    topic = new_topic(2)
    plane = open_plane(topic=topic, acks=acks, enable_idempotence=enable_idempotence)
    ids = {plane.publish(event).event_id for event in exposures(300)}
    result = plane.close(timeout=30)
    assert (result.delivered, result.is_complete) == (300, True)

    def stored_ids() -> list[str]:
        stored = stored_records(kafka_broker.bootstrap_servers, topic)
        return sorted(found.headers["event-id"].decode() for found in stored)

    # Without acknowledgement, delivered means sent: the broker may still be storing.
    wait_until(lambda: len(stored_ids()) >= 300, timeout=10, what="300 stored records")
    assert stored_ids() == sorted(ids)
