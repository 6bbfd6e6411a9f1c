"""An independent look at a Kafka cluster, by a client that shares no code with the product's.

kafka-python speaks the protocol in pure Python; the product uses librdkafka.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.consumer.fetcher import ConsumerRecord

__all__ = [
    "Found",
    "TopicDescription",
    "create_topics",
    "delete_topic",
    "describe_topic",
    "send",
    "stored_records",
]

READ_SECONDS = 30.0


@dataclass(frozen=True)
class Found:
    """A record as another client sees it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]


@dataclass(frozen=True)
class TopicDescription:
    """A topic as the broker describes it; ``settings`` are those that are not defaults."""

    partitions: int
    replicas: int
    settings: dict[str, str]


def create_topics(servers: str, partitions: Mapping[str, int]) -> None:
    """Create topics with so many partitions each, and wait until they can be used."""
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        topics = [NewTopic(name, count, 1) for name, count in partitions.items()]
        admin.create_topics(topics, timeout_ms=20_000, wait_for_metadata=True)
    finally:
        admin.close()


def delete_topic(servers: str, name: str) -> None:
    """Delete a topic with all that is in it."""
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        admin.delete_topics([name], timeout_ms=20_000)
    finally:
        admin.close()


def describe_topic(servers: str, name: str) -> TopicDescription:
    """Ask the broker what a topic is like."""
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        partitions = admin.describe_topics([name])[0]["partitions"]
        resource = ConfigResource(ConfigResourceType.TOPIC, name)
        settings = admin.describe_configs([resource])["topic"][name]
    finally:
        admin.close()
    return TopicDescription(
        partitions=len(partitions),
        replicas=min(len(partition["replica_nodes"]) for partition in partitions),
        settings={key: entry["value"] for key, entry in settings.items()},
    )


def send(servers: str, topic: str, values: Iterable[bytes]) -> None:
    """Write records and wait until they are stored."""
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    try:
        for future in [producer.send(topic, value=value) for value in values]:
            future.get(timeout=READ_SECONDS)
    finally:
        producer.close()


def stored_records(servers: str, *topics: str, timeout: float = READ_SECONDS) -> list[Found]:
    """Read all that is stored now, partition by partition in order of offset."""
    consumer = KafkaConsumer(
        bootstrap_servers=servers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        partitions = [
            TopicPartition(topic, number)
            for topic in topics
            for number in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        return _read_to_the_end(consumer, partitions, time.monotonic() + timeout)
    finally:
        consumer.close()


def _read_to_the_end(
    consumer: KafkaConsumer, partitions: list[TopicPartition], deadline: float
) -> list[Found]:
    ends = consumer.end_offsets(partitions)
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    found: list[Found] = []
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(found)} records read of {sum(ends.values())}")
        for records in consumer.poll(timeout_ms=200).values():
            found.extend(_found(record) for record in records)
    return sorted(found, key=lambda record: (record.topic, record.partition, record.offset))


def _found(record: ConsumerRecord) -> Found:
    return Found(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=record.key,
        value=record.value,
        headers=dict(record.headers),
    )
