"""The time of a message on its way through the producer, at the bounds of what brokers take."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from confluent_kafka import Message
from experiment_framework.envelope import Record
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane
from experiment_framework_kafka.timestamps import latest_day, message_time
from hypothesis import given
from hypothesis import strategies as st

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def test_every_message_has_its_events_time_on_whatever_day_that_was(
    kafka: EmbeddedKafka,
    opened: Callable[..., KafkaBackplane],
    record: Callable[..., Record],
    consumed: Callable[[str], list[Message]],
    topic: str,
) -> None:
    now = datetime.now(UTC)
    days = (0, 30, -0.01, -0.3, 1, 0.5, 0.999, 5000, 0.02, -0.04)
    happened = [now - timedelta(days=each) for each in days]
    backplane = opened(brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=1)
    for each in happened:
        backplane.publish(record(timestamp=each, experiment_name="one-partition"))
    backplane.flush(10)

    times = [message.timestamp()[1] for message in consumed(topic)]

    latest = time.time() * 1000
    for each, given_time in zip(happened, times, strict=True):
        if each - now > timedelta(minutes=59):
            assert now.timestamp() * 1000 - 1 <= given_time <= latest
        else:
            assert given_time == (each - EPOCH) // timedelta(milliseconds=1)


def test_the_latest_day_ends_where_times_begin_to_be_refused() -> None:
    start, start_ms = latest_day()
    end = start + timedelta(days=1)
    assert (start - EPOCH) / timedelta(milliseconds=1) == start_ms
    assert end - datetime.now(UTC) < timedelta(minutes=59)
    assert end - datetime.now(UTC) > timedelta(minutes=58)


@given(st.datetimes(datetime(1970, 1, 2), datetime(2024, 1, 1)))  # noqa: DTZ001  # made aware below
def test_a_past_moment_is_taken_in_whole_milliseconds(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    assert EPOCH + timedelta(milliseconds=message_time(moment)) == moment.replace(
        microsecond=moment.microsecond // 1000 * 1000
    )
