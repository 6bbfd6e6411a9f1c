"""Whether health tells the truth about a real cluster."""

from __future__ import annotations

from collections.abc import Callable

from apache_kafka import ApacheKafka
from experiment_framework import DataPlane, Event
from waiting import wait_until


def test_health_names_the_topics_that_are_missing(open_plane: Callable[..., DataPlane]) -> None:
    plane = open_plane(topic_prefix="nobody-made-")
    wait_until(
        lambda: "nobody-made-experiment-exposures" in plane.health().message,
        timeout=20,
        what="the missing topic's name in the health",
    )
    health = plane.health()
    assert not health.is_healthy
    assert any("nobody-made-experiment-errors" in reason for reason in health.reasons)


def test_event_for_a_missing_topic_fails_and_is_counted(
    open_plane: Callable[..., DataPlane], one_of_each: list[Event]
) -> None:
    plane = open_plane(topic="nobody-made-this", delivery_timeout_ms=5000, request_timeout_ms=2000)
    plane.publish(one_of_each[0])
    result = plane.flush(timeout=30)
    assert (result.delivered, result.failed, result.pending) == (0, 1, 0)


def test_health_follows_the_broker_down_and_up_again(
    kafka_broker: ApacheKafka, new_topic: Callable[[int], str], open_plane: Callable[..., DataPlane]
) -> None:
    plane = open_plane(topic=new_topic(1))
    wait_until(lambda: plane.health().is_healthy, timeout=20, what="healthy at first")
    kafka_broker.stop()
    try:
        wait_until(
            lambda: plane.health().status == "UNHEALTHY", timeout=40, what="unhealthy when down"
        )
    finally:
        kafka_broker.start()
    wait_until(lambda: plane.health().is_healthy, timeout=40, what="healthy again")
