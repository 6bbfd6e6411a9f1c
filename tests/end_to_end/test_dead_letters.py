"""What a real broker refuses for good, read back from the topic for dead letters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from apache_kafka import ApacheKafka
from experiment_framework import DataPlane, Exposure
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka_audit import describe_topic, stored_records
from waiting import wait_until

MakePlane = Callable[..., DataPlane]


def limit(servers: str, topic: str, largest: int) -> None:
    """Let a topic take messages of so many bytes only."""
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        settings = {"max.message.bytes": str(largest)}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, settings)])
    finally:
        admin.close()


def exposure(number: int, padding: int = 0) -> Exposure:
    return Exposure(
        experiment_name="checkout",
        variant_key="v",
        subject_id=f"user-{number}",
        # No compression makes this small.
        attributes={"padding": "".join(chr(33 + n * n * 31 % 58) for n in range(padding))},
    )


@pytest.mark.parametrize("letters_limit", [1_000_000, 1500])
def test_what_a_broker_finds_too_large_arrives_with_its_body_where_that_fits(
    kafka_broker: ApacheKafka,
    new_topic: Callable[[int], str],
    open_plane: MakePlane,
    letters_limit: int,
) -> None:
    servers = kafka_broker.bootstrap_servers
    topic, dead = new_topic(1), new_topic(1)
    limit(servers, topic, 2000)
    limit(servers, dead, letters_limit)
    plane = open_plane(topic=topic, dead_letter_topic=dead, compression_type="none")
    small = plane.publish_and_wait(exposure(1), 20)
    large = plane.publish_and_wait(exposure(2, padding=5000), 20)
    assert (small.status, large.status, large.reason) == ("delivered", "failed", "too_large")
    result = plane.close(20)
    assert (result.delivered, result.failed, result.pending) == (1, 1, 0)
    assert [each.headers["event-id"].decode() for each in stored_records(servers, topic)] == [
        small.event_id
    ]
    (letter,) = stored_records(servers, dead)
    assert letter.headers["event-id"].decode() == large.event_id
    assert letter.headers["dead-letter-topic"].decode() == topic
    assert letter.headers["dead-letter-reason"] == b"too_large"
    assert letter.key == b"checkout"
    if letters_limit == 1500:
        assert letter.value == b""
        assert letter.headers["dead-letter-body"].startswith(b"left out: 5")
    else:
        assert large.event_id.encode() in letter.value
        assert "dead-letter-body" not in letter.headers


def test_the_topic_is_missing_until_it_is_provisioned(
    kafka_broker: ApacheKafka, new_topic: Callable[[int], str], open_plane: MakePlane
) -> None:
    topic = new_topic(1)
    plane = open_plane(topic=topic, dead_letter_topic=f"{topic}-dead", max_message_bytes=1000)
    assert plane.publish_and_wait(exposure(1), 20).status == "delivered"
    missing = f"no such topic: {topic}-dead"
    wait_until(lambda: missing in plane.health().message, timeout=20, what=missing)
    assert {entry.name: entry.action for entry in plane.provision()} == {
        f"topic {topic}": "exists",
        f"topic {topic}-dead": "created",
    }
    assert describe_topic(kafka_broker.bootstrap_servers, f"{topic}-dead").partitions == 6
    wait_until(lambda: plane.health().is_healthy, timeout=20, what="a healthy data plane")
    assert plane.publish(exposure(2, padding=5000)).reason == "too_large"
    plane.close(20)
    assert len(stored_records(kafka_broker.bootstrap_servers, f"{topic}-dead")) == 1


def test_dead_letters_are_published_again_with_their_ids(
    kafka_broker: ApacheKafka,
    new_topic: Callable[[int], str],
    open_plane: MakePlane,
    tmp_path: Path,
) -> None:
    servers = kafka_broker.bootstrap_servers
    topic, dead = new_topic(1), new_topic(1)
    plane = open_plane(topic=topic, dead_letter_topic=dead, max_message_bytes=1000)
    ids = [plane.publish(exposure(number, padding=3000)).event_id for number in range(3)]
    plane.close(20)
    config = tmp_path / "experiments.yaml"
    config.write_text(
        "experimentFramework: {dataPlane: {backplane: {type: kafka, options: "
        f"{{brokers: ['{servers}'], topic: {topic}}}}}}}}}\n"
    )
    letters = b"".join(letter.value + b"\n" for letter in stored_records(servers, dead))
    again = [str(Path(sys.executable).with_name("experiment")), "publish", str(config)]
    subprocess.run(again, input=letters, check=True, timeout=60, capture_output=True)
    found = [each.headers["event-id"].decode() for each in stored_records(servers, topic)]
    assert sorted(found) == sorted(ids)
