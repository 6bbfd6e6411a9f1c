"""What can never be delivered goes to a topic of its own, and changes nothing about the events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

import pytest
from accounts import is_balanced
from confluent_kafka import KafkaError, Message
from experiment_framework import DataPlane, Exposure, decode
from experiment_framework.envelope import Record
from experiment_framework.plugin import DeliveryError, QueueFullError
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions
from experiment_framework_kafka.dead_letters import LARGEST_BODY, MOST_WAITING, DeadLetterTopic
from kafka_faults import INIT_PRODUCER_ID_REQUEST, PRODUCE_REQUEST, make_fatal

Open = Callable[..., KafkaBackplane]
Make = Callable[..., Record]
Until = Callable[..., None]
Consume = Callable[[str], list[Message]]
Broken = Callable[..., None]


def letters_of(backplane: KafkaBackplane) -> DeadLetterTopic:
    assert backplane._letters is not None
    return backplane._letters


def headers_of(message: Message) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in message.headers() or []}


def exposure(number: int = 0, padding: int = 0) -> Exposure:
    return Exposure(
        experiment_name="checkout",
        variant_key="v",
        subject_id=f"s{number}",
        attributes={"padding": "x" * padding},
    )


def test_a_record_that_is_too_large_arrives_whole_with_its_key_and_all_that_is_known(
    kafka: EmbeddedKafka, consumed: Consume, topic: str
) -> None:
    options = KafkaOptions(
        brokers=[kafka.bootstrap_servers],
        topic=topic,
        dead_letter_topic=f"{topic}-dead",
        max_message_bytes=2000,
    )
    with DataPlane(KafkaBackplane(options)) as plane:
        plane.publish(exposure(1))
        event = exposure(2, padding=5000)
        receipt = plane.publish(event, correlation_id="request-1")
        result = plane.close(10)
        stats = plane.stats()
    assert (result.delivered, result.failed, result.dropped, result.pending) == (1, 0, 1, 0)
    assert is_balanced(stats)
    assert len(consumed(topic)) == 1
    (letter,) = consumed(f"{topic}-dead")
    assert letter.key() == b"checkout"
    envelope = decode(letter.value() or b"")
    assert (envelope.event_id, envelope.payload) == (receipt.event_id, event)
    headers = headers_of(letter)
    reason, at = headers.pop("dead-letter-reason"), headers.pop("dead-letter-at")
    assert reason.startswith("too_large: the record has")
    assert datetime.fromisoformat(at) >= event.timestamp
    assert datetime.fromisoformat(headers.pop("dead-letter-event-time")) == event.timestamp
    assert headers == {
        "event-id": receipt.event_id,
        "event-type": "Exposure",
        "schema-version": envelope.schema_version,
        "correlation-id": "request-1",
        "dead-letter-topic": topic,
    }


@pytest.mark.parametrize("report_each", [False, True])
def test_what_the_brokers_refuse_for_good_arrives_there_and_counts_as_failed(
    kafka: EmbeddedKafka, broken: Broken, consumed: Consume, topic: str, *, report_each: bool
) -> None:
    told: list[str] = []
    options = KafkaOptions(
        brokers=[kafka.bootstrap_servers], topic=topic, dead_letter_topic=f"{topic}-dead"
    )
    plane = DataPlane(
        KafkaBackplane(options),
        on_delivery=(lambda report: told.append(report.status)) if report_each else None,
    )
    with plane:
        assert plane.publish_and_wait(exposure(1), 10).status == "delivered"
        broken(PRODUCE_REQUEST, KafkaError.POLICY_VIOLATION, times=1)
        refused = plane.publish_and_wait(exposure(2), 10)
        assert (refused.status, refused.reason) == ("failed", "refused_by_broker")
        assert plane.publish_and_wait(exposure(3), 10).status == "delivered"
        result = plane.close(10)
        stats = plane.stats()
    assert (result.delivered, result.failed, result.pending) == (2, 1, 0)
    assert is_balanced(stats)
    (letter,) = consumed(f"{topic}-dead")
    assert headers_of(letter)["dead-letter-reason"] == "refused_by_broker"
    assert headers_of(letter)["event-id"] == refused.event_id
    assert sorted(told) == ["delivered", "delivered", "failed"] * report_each


def test_what_is_too_large_for_that_topic_too_arrives_without_its_body(
    kafka: EmbeddedKafka,
    broken: Broken,
    opened: Open,
    record: Make,
    consumed: Consume,
    until: Until,
    topic: str,
) -> None:
    backplane = opened(
        brokers=[kafka.bootstrap_servers], topic=topic, dead_letter_topic=f"{topic}-dead"
    )
    broken(PRODUCE_REQUEST, KafkaError.MSG_SIZE_TOO_LARGE, times=1)
    one, huge = record(1), record(2, padding=LARGEST_BODY)
    assert backplane.dead_letter(one, "refused")
    until(lambda: letters_of(backplane).sent == 1)
    assert backplane.dead_letter(huge, "too_large")
    until(lambda: letters_of(backplane).sent == 2)
    found = {headers_of(m)["event-id"]: m for m in consumed(f"{topic}-dead")}
    for each in (one, huge):
        assert (found[each.event_id].value() or b"") == b""
        left_out = headers_of(found[each.event_id])["dead-letter-body"]
        assert left_out == f"left out: {len(each.body)} bytes"
    assert letters_of(backplane).lost == 0


def test_letters_that_cannot_be_sent_are_counted_and_change_nothing_about_events(
    black_hole: str, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    options = KafkaOptions(
        brokers=[black_hole],
        topic="events",
        dead_letter_topic="dead",
        max_message_bytes=2000,
        delivery_timeout_ms=300,
        linger_ms=1,
    )
    with DataPlane(KafkaBackplane(options)) as plane:
        for number in range(5):
            assert plane.publish(exposure(number, padding=5000)).reason == "too_large"
        started = time.monotonic()
        result = plane.flush(10)
        assert time.monotonic() - started < 5
        assert (result.dropped, result.failed, result.pending) == (5, 0, 0)
        until(lambda: plane.health().details["deadLettersNotSent"] == 5)
        health = plane.health()
        assert health.details["deadLettersWaiting"] == 0
        assert any("5 dead letters were lost" in reason for reason in health.reasons)
        assert (plane.stats().dropped, plane.stats().failed) == ({"too_large": 5}, 0)
    until(lambda: "a dead letter did not get into dead: timed_out" in caplog.text)


def test_what_waits_is_bounded_and_given_up_at_close(
    black_hole: str, opened: Open, record: Make
) -> None:
    backplane = opened(brokers=[black_hole], dead_letter_topic="dead")
    one = record()
    for _ in range(MOST_WAITING):
        backplane.dead_letter(one, "refused")
    with pytest.raises(QueueFullError, match="wait already"):
        backplane.dead_letter(one, "refused")
    assert backplane.outstanding() == 0
    assert backplane.flush(0)
    started = time.monotonic()
    backplane.close(0.2)
    assert time.monotonic() - started < 2
    letters = letters_of(backplane)
    assert (letters.sent, letters.lost, letters.waiting) == (0, MOST_WAITING, 0)
    with pytest.raises(DeliveryError, match="closed"):
        backplane.dead_letter(one, "refused")


def test_without_such_a_topic_nothing_is_taken(opened: Open, record: Make, black_hole: str) -> None:
    backplane = opened(brokers=[black_hole])
    assert not backplane.dead_letter(record(), "refused")
    assert "deadLettersSent" not in backplane.health().details


def test_letters_are_sent_while_clients_give_up(
    kafka: EmbeddedKafka, broken: Broken, opened: Open, record: Make, until: Until, topic: str
) -> None:
    backplane = opened(
        brokers=[kafka.bootstrap_servers], topic=topic, dead_letter_topic=f"{topic}-dead"
    )
    backplane.publish(record())
    assert backplane.flush(10)
    broken(INIT_PRODUCER_ID_REQUEST, KafkaError.CLUSTER_AUTHORIZATION_FAILED, times=1000)
    make_fatal(backplane)
    until(lambda: backplane.health().details["isFatal"])
    backplane.dead_letter(record(1), "refused")
    until(lambda: letters_of(backplane).sent == 1)


def test_close_sends_what_waits_where_no_thread_can_be_started(
    kafka: EmbeddedKafka,
    opened: Open,
    record: Make,
    consumed: Consume,
    monkeypatch: pytest.MonkeyPatch,
    topic: str,
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    backplane = opened(
        brokers=[kafka.bootstrap_servers], topic=topic, dead_letter_topic=f"{topic}-dead"
    )
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        backplane.dead_letter(record(1), "refused")
    assert letters_of(backplane).waiting == 1
    backplane.close(10)
    assert len(consumed(f"{topic}-dead")) == 1


def test_health_names_the_topic_where_it_is_missing(
    kafka: EmbeddedKafka, opened: Open, record: Make, until: Until, topic: str
) -> None:
    backplane = opened(
        brokers=[kafka.bootstrap_servers], topic=topic, dead_letter_topic=f"{topic}-dead"
    )
    backplane.publish(record())
    assert backplane.flush(10)
    until(lambda: backplane.health().details.get("missingTopics") == [f"{topic}-dead"])
    assert backplane.health().status == "DEGRADED"
    backplane.dead_letter(record(1), "refused")  # which creates it there
    until(lambda: backplane.health().status == "HEALTHY")


def test_a_reason_may_be_any_text(
    kafka: EmbeddedKafka,
    opened: Open,
    record: Make,
    consumed: Consume,
    until: Until,
    topic: str,
) -> None:
    backplane = opened(
        brokers=[kafka.bootstrap_servers], topic=topic, dead_letter_topic=f"{topic}-dead"
    )
    reasons: tuple[str, ...] = ("", "\udcff broken", "lang" * 5000, "zwei\nZeilen")
    for reason in reasons:
        backplane.dead_letter(record(), reason)
    until(lambda: letters_of(backplane).sent == len(reasons))
    found = sorted(headers_of(m)["dead-letter-reason"] for m in consumed(f"{topic}-dead"))
    assert found == sorted(["", "? broken", ("lang" * 5000)[:4096], "zwei\nZeilen"])
