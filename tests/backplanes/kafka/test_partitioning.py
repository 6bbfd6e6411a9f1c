from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Message
from experiment_framework import ErrorEvent
from experiment_framework.envelope import Envelope, Record, encode
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions
from experiment_framework_kafka.partitioning import ANY_PARTITION, RoundRobin, key_rule

PARTITIONS = 4

# From Apache Kafka's own test of its murmur2 (UtilsTest).
MURMUR2_OF_APACHE = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


def key_of(record: Record, **options: Any) -> str | None:
    rule = key_rule(KafkaOptions(brokers=["localhost:9092"], **options))
    return None if rule is None else rule(record)


def error_event(**fields: Any) -> Record:
    return encode(Envelope.around(ErrorEvent(error_type="E", message="m", **fields)))


@pytest.mark.parametrize(
    ("partition_by", "expected"),
    [
        ("experimentKey", "checkout"),
        ("subjectId", "user-1"),
        ("tenantId", "acme"),
        ("roundRobin", None),
    ],
)
def test_the_key_is_the_id_that_partition_by_names(
    record: Callable[..., Record], partition_by: str, expected: str | None
) -> None:
    assert key_of(record(1, tenant_id="acme"), partition_by=partition_by) == expected


@pytest.mark.parametrize("missing", [None, ""])
def test_a_missing_tenant_gives_its_place_to_the_experiment(
    record: Callable[..., Record], missing: str | None
) -> None:
    assert key_of(record(tenant_id=missing), partition_by="tenantId") == "checkout"


def test_a_missing_tenant_gives_its_place_to_the_event_id_where_that_is_declared(
    record: Callable[..., Record],
) -> None:
    one = record()
    assert key_of(one, partition_by="tenantId", key_fallback="eventId") == one.event_id


@pytest.mark.parametrize("partition_by", ["experimentKey", "subjectId", "tenantId"])
@pytest.mark.parametrize("fallback", ["experiment", "eventId"])
def test_an_event_that_has_no_ids_never_shares_a_key(partition_by: str, fallback: str) -> None:
    one = error_event()
    assert key_of(one, partition_by=partition_by, key_fallback=fallback) == one.event_id


def test_a_missing_subject_gives_its_place_to_the_experiment() -> None:
    assert key_of(error_event(experiment_name="checkout"), partition_by="subjectId") == "checkout"


def test_round_robin_leaves_the_choice_until_the_number_is_known() -> None:
    turns = RoundRobin()
    assert turns.next("exposures") == ANY_PARTITION
    turns.learn({"exposures": 3})
    assert [turns.next("exposures") for _ in range(4)] == [0, 1, 2, 0]


def test_round_robin_goes_on_when_it_hears_the_number_again_or_a_larger_one() -> None:
    turns = RoundRobin()
    turns.learn({"exposures": 3})
    first = [turns.next("exposures") for _ in range(2)]
    turns.learn({"exposures": 3})
    second = turns.next("exposures")
    turns.learn({"exposures": 4})
    assert [*first, second, turns.next("exposures")] == [0, 1, 2, 3]


def test_topics_take_turns_of_their_own() -> None:
    turns = RoundRobin()
    turns.learn({"exposures": 2, "outcomes": 2})
    assert [turns.next(t) for t in ("exposures", "outcomes") * 2] == [0, 0, 1, 1]


def test_keys_land_where_java_puts_them(
    kafka: EmbeddedKafka,
    opened: Callable[..., KafkaBackplane],
    record: Callable[..., Record],
    consumed: Callable[[str], list[Message]],
    topic: str,
) -> None:
    backplane = opened(brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=1)
    for key in MURMUR2_OF_APACHE:
        backplane.publish(record(experiment_name=key))
    backplane.flush(10)
    placed = {str(m.key(), "utf-8"): m.partition() for m in consumed(topic)}
    assert placed == {
        key: (value & 0x7FFFFFFF) % PARTITIONS for key, value in MURMUR2_OF_APACHE.items()
    }


def test_round_robin_is_even_once_the_number_is_known(
    kafka: EmbeddedKafka,
    opened: Callable[..., KafkaBackplane],
    record: Callable[..., Record],
    consumed: Callable[[str], list[Message]],
    until: Callable[..., None],
    topic: str,
) -> None:
    backplane = opened(
        brokers=[kafka.bootstrap_servers], topic=topic, partition_by="roundRobin", linger_ms=1
    )
    backplane.publish(record())  # creates the topic
    backplane.flush(10)
    until(lambda: not backplane.health().details["missingTopics"])
    for number in range(100 * PARTITIONS):
        backplane.publish(record(number))
    backplane.flush(10)
    messages = consumed(topic)[:]
    assert all(m.key() is None for m in messages)
    counts = Counter(m.partition() for m in messages)
    assert sorted(counts.values()) == [100, 100, 100, 101]
