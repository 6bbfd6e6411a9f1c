from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from confluent_kafka import Producer
from experiment_framework.envelope import Record
from experiment_framework.plugin import DeliveryError, Query
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane

Open = Callable[..., KafkaBackplane]
Make = Callable[..., Record]


def read(backplane: KafkaBackplane, **query: Any) -> list[bytes]:
    return [stored.body for stored in backplane.read(Query(**query))]


@pytest.fixture
def backplane(kafka: EmbeddedKafka, opened: Open, topic: str) -> KafkaBackplane:
    return opened(
        brokers=[kafka.bootstrap_servers], topic=topic, partition_by="subjectId", linger_ms=1
    )


def publish(backplane: KafkaBackplane, records: list[Record]) -> None:
    for one in records:
        backplane.publish(one)
    backplane.flush(10)


def test_what_was_published_is_read_back_and_the_reading_ends(
    backplane: KafkaBackplane, record: Make, topic: str
) -> None:
    some = [record(number) for number in range(300)]
    publish(backplane, some)
    found = list(backplane.read(Query()))
    assert {stored.body for stored in found} == {one.body for one in some}
    assert len(found) == 300
    first = next(stored for stored in found if stored.body == some[0].body)
    assert first.key == b"user-0"
    assert first.headers == dict(some[0].headers())
    assert first.place.startswith(f"{topic}[")
    assert first.place.partition("]@")[2].isdigit()


def test_records_of_one_key_are_read_in_order(backplane: KafkaBackplane, record: Make) -> None:
    some = [record(7) for _ in range(50)]
    publish(backplane, some)
    assert read(backplane) == [one.body for one in some]


def test_a_query_chooses(backplane: KafkaBackplane, record: Make) -> None:
    one, other = record(1), record(2, experiment_name="search", variant_key="control")
    publish(backplane, [one, other])
    assert read(backplane, experiment_name="search") == [other.body]
    assert read(backplane, variant_key="treatment") == [one.body]
    assert read(backplane, event_types=frozenset({"Outcome"})) == []
    assert len(read(backplane, event_types=frozenset({"Exposure"}))) == 2


def test_a_query_chooses_by_time(backplane: KafkaBackplane, record: Make) -> None:
    now = datetime.now(UTC)
    old, new = record(1, timestamp=now - timedelta(hours=2)), record(1, timestamp=now)
    publish(backplane, [old, new])
    assert read(backplane, since=now - timedelta(hours=1)) == [new.body]
    assert read(backplane, since=now + timedelta(hours=1)) == []


def test_what_is_not_ours_is_given_as_it_is_unless_something_is_asked_for(
    kafka: EmbeddedKafka, backplane: KafkaBackplane, record: Make, topic: str
) -> None:
    one = record()
    publish(backplane, [one])
    stranger = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    stranger.produce(topic, b"\xff not JSON", headers={"binary": b"\xff", "none": None})
    stranger.produce(topic)
    stranger.flush(10)
    found = list(backplane.read(Query()))
    assert {stored.body for stored in found} == {one.body, b"\xff not JSON", b""}
    assert read(backplane, experiment_name="checkout") == [one.body]


def test_following_begins_where_reading_was_asked_for(
    backplane: KafkaBackplane, record: Make
) -> None:
    publish(backplane, [record(1)])
    with closing(cast("Any", backplane.read(Query(follow=True, from_start=False)))) as records:
        later = [record(number) for number in range(2, 12)]
        publish(backplane, later)
        found = {next(records).body for _ in later}
    assert found == {one.body for one in later}


def test_following_ends_after_the_time_without_a_record(
    backplane: KafkaBackplane, record: Make
) -> None:
    one = record()
    publish(backplane, [one])
    assert read(backplane, follow=True, idle_timeout=1.0) == [one.body]


def test_following_finds_a_topic_that_comes_into_being_later(
    backplane: KafkaBackplane, record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiment_framework_kafka.reading.LOOK_AGAIN", 0.2)
    records = backplane.read(Query(follow=True, from_start=False, idle_timeout=10))
    one = record()
    publish(backplane, [one])
    assert next(records).body == one.body


def test_reading_a_topic_that_is_not_there_says_so_and_does_not_create_it(
    backplane: KafkaBackplane, topic: str
) -> None:
    for _ in range(2):
        with pytest.raises(DeliveryError, match=f"no such topic: {topic}"):
            backplane.read(Query())


def test_reading_from_a_broker_that_never_answers_ends_with_an_error(
    black_hole: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiment_framework_kafka.reading.ANSWER_TIMEOUT", 0.5)
    started = time.monotonic()
    with pytest.raises(DeliveryError, match=r"unreachable|timed_out"):
        opened(brokers=[black_hole]).read(Query())
    assert time.monotonic() - started < 5


def test_a_read_goes_on_in_each_partition_where_one_was(
    backplane: KafkaBackplane, record: Make
) -> None:
    some = [record(number) for number in range(100)]
    publish(backplane, some)
    stored = list(backplane.read(Query()))
    positions = [each.position for each in stored if each.position is not None]
    for seen in (0, 1, 50, 99, 100):
        rest = read(backplane, after=dict(positions[:seen]), from_start=False)
        assert sorted(rest) == sorted(each.body for each in stored[seen:])


def test_a_topic_that_was_made_anew_is_read_from_its_start(
    backplane: KafkaBackplane, record: Make, topic: str
) -> None:
    publish(backplane, [record(number) for number in range(10)])
    after = {f"{topic}[{partition}]": "1000" for partition in range(20)}
    assert len(read(backplane, after=after)) == 10


def test_a_follower_goes_on_where_a_read_was(backplane: KafkaBackplane, record: Make) -> None:
    publish(backplane, [record(number) for number in range(10)])
    stored = list(backplane.read(Query()))
    after = dict(each.position for each in stored if each.position is not None)
    new = record(10)
    publish(backplane, [new])
    assert read(backplane, after=after, follow=True, idle_timeout=3) == [new.body]
