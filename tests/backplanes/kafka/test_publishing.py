from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Message
from experiment_framework import DataPlane, Exposure
from experiment_framework.envelope import Record
from experiment_framework.plugin import DeliveryError, QueueFullError, RecordTooLargeError
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions

Open = Callable[..., KafkaBackplane]
Make = Callable[..., Record]
Consume = Callable[[str], list[Message]]


def test_a_message_has_the_envelope_the_headers_the_key_and_the_events_time(
    kafka: EmbeddedKafka, opened: Open, record: Make, consumed: Consume, topic: str
) -> None:
    happened = datetime(2024, 5, 17, 8, 30, 0, 123456, tzinfo=UTC)
    one = record(timestamp=happened, experiment_name="checköut")
    backplane = opened(brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=1)
    backplane.publish(one)
    backplane.flush(10)
    (message,) = consumed(topic)
    assert message.value() == one.body
    assert message.key() == "checköut".encode()
    assert message.headers() == [
        ("event-id", one.event_id.encode()),
        ("event-type", b"Exposure"),
        ("schema-version", b"1.0.0"),
        ("correlation-id", b"request-1"),
    ]
    assert message.timestamp()[1] == 1715934600123


@pytest.mark.parametrize(
    "happened",
    [datetime(1969, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=365)],
    ids=["before-1970", "next-year"],
)
def test_a_time_that_brokers_refuse_is_not_the_messages(
    kafka: EmbeddedKafka,
    opened: Open,
    record: Make,
    consumed: Consume,
    topic: str,
    happened: datetime,
) -> None:
    backplane = opened(brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=1)
    before = time.time() * 1000
    backplane.publish(record(timestamp=happened))
    backplane.flush(10)
    (message,) = consumed(topic)
    assert before - 1 <= message.timestamp()[1] <= time.time() * 1000 + 1


@pytest.mark.parametrize("report_each", [False, True])
def test_a_hundred_and_fifty_thousand_records_need_no_polling_by_the_user(
    kafka: EmbeddedKafka, opened: Open, record: Make, ledger: Any, topic: str, *, report_each: bool
) -> None:
    context = ledger(report_each=report_each)
    backplane = opened(context, brokers=[kafka.bootstrap_servers], topic=topic)
    some = [record(number) for number in range(100)]
    refused = 0
    for number in range(150_000):
        try:
            backplane.publish(some[number % 100])
        except QueueFullError:
            refused += 1
            threading.Event().wait(0.001)
    backplane.flush(30)
    assert backplane.outstanding() == 0
    assert context.lost == []
    assert len(context.arrived) == (150_000 - refused if report_each else 0)
    assert refused < 50_000


def test_reports_are_served_while_nothing_is_published(
    kafka: EmbeddedKafka, opened: Open, record: Make, until: Callable[..., None], topic: str
) -> None:
    backplane = opened(brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=1)
    backplane.publish(record())
    until(lambda: backplane.outstanding() == 0)


def test_waiting_calls_learn_a_fate_while_others_go_on_publishing(
    kafka: EmbeddedKafka, topic: str
) -> None:
    one = Exposure(experiment_name="e", variant_key="v", subject_id="s")
    options = KafkaOptions(brokers=[kafka.bootstrap_servers], topic=topic)
    with DataPlane(KafkaBackplane(options)) as plane:
        finished = threading.Event()

        def publish_on() -> None:
            while not finished.wait(0.002):  # far shorter than lingerMs
                plane.publish(one)

        others = threading.Thread(target=publish_on)
        others.start()
        try:
            fates = [plane.publish_and_wait(one, 10).status for _ in range(3)]
            fates += [asyncio.run(plane.apublish(one, 10)).status for _ in range(3)]
        finally:
            finished.set()
            others.join()
    assert fates == ["delivered"] * 6


def test_a_full_queue_is_told_for_each_record_and_never_otherwise(
    black_hole: str, opened: Open, record: Make, ledger: Any
) -> None:
    context = ledger(max_queue_size=50)
    backplane = opened(context, brokers=[black_hole])
    refused = 0
    for number in range(200):
        try:
            backplane.publish(record(number))
        except QueueFullError:
            refused += 1
    assert refused == 150
    assert backplane.outstanding() == 50


def test_a_record_that_is_too_large_leaves_its_neighbours_alone(
    kafka: EmbeddedKafka, opened: Open, record: Make, consumed: Consume, topic: str
) -> None:
    backplane = opened(brokers=[kafka.bootstrap_servers], topic=topic)
    small, huge, other = record(1), record(2, padding=2_000_000), record(3)
    backplane.publish(small)
    with pytest.raises(RecordTooLargeError) as refusal:
        backplane.publish(huge)
    backplane.publish(other)
    backplane.flush(10)
    assert (refusal.value.size, refusal.value.limit) == (len(huge.body), 1_000_000)
    assert {m.value() for m in consumed(topic)} == {small.body, other.body}


@pytest.mark.parametrize("report_each", [False, True])
def test_a_record_that_times_out_is_reported_with_its_reason(
    black_hole: str,
    opened: Open,
    record: Make,
    ledger: Any,
    until: Callable[..., None],
    *,
    report_each: bool,
) -> None:
    context = ledger(report_each=report_each)
    backplane = opened(context, brokers=[black_hole], delivery_timeout_ms=1000, linger_ms=1)
    one = record()
    backplane.publish(one)
    until(lambda: context.lost, timeout=4)
    assert context.lost == [(one, "timed_out")]
    assert backplane.outstanding() == 0


def test_a_partition_that_is_gone_does_not_cost_its_records(
    kafka: EmbeddedKafka, opened: Open, record: Make, ledger: Any, topic: str
) -> None:
    context = ledger(report_each=True)
    backplane = opened(
        context,
        brokers=[kafka.bootstrap_servers],
        topic=topic,
        partition_by="roundRobin",
        linger_ms=1,
    )
    backplane.publish(record())
    backplane.flush(10)
    assert backplane._service is not None
    assert backplane._service._succession.producer is not None
    backplane._service._round_robin.learn({topic: 50})
    for number in range(50):
        backplane.publish(record(number))
    backplane.flush(10)
    assert (len(context.arrived), context.lost) == (51, [])


def test_a_context_that_publishes_and_flushes_neither_crashes_nor_hangs(
    black_hole: str, opened: Open, record: Make, ledger: Any, until: Callable[..., None]
) -> None:
    again = []

    def publish_again(_record: Record, _reason: str) -> None:
        if len(again) < 100:
            again.append(record())
            backplane.publish(again[-1])
            backplane.flush(0)

    context = ledger(failed=publish_again)
    backplane = opened(context, brokers=[black_hole], delivery_timeout_ms=300, linger_ms=1)
    for number in range(200):
        backplane.publish(record(number))
    until(lambda: len(context.lost) == 300, timeout=15)


def test_who_is_told_a_failure_does_not_wait_for_itself(
    black_hole: str, opened: Open, record: Make, ledger: Any, until: Callable[..., None]
) -> None:
    answers: list[tuple[bool, float]] = []

    def flush(_record: Record, _reason: str) -> None:
        began = time.monotonic()
        answers.append((backplane.flush(60), time.monotonic() - began))

    context = ledger(failed=flush)
    backplane = opened(context, brokers=[black_hole], delivery_timeout_ms=300, linger_ms=1)
    for number in range(3):
        backplane.publish(record(number))
    until(lambda: len(answers) == 3, timeout=15)
    assert all(not is_settled and took < 5 for is_settled, took in answers)


def test_failures_are_told_outside_of_the_clients_calls(
    black_hole: str, opened: Open, record: Make, ledger: Any, until: Callable[..., None]
) -> None:
    from experiment_framework_kafka.client_call import is_inside_client_call

    inside = []
    context = ledger(failed=lambda _record, _reason: inside.append(is_inside_client_call()))
    backplane = opened(context, brokers=[black_hole], delivery_timeout_ms=300, linger_ms=1)
    backplane.publish(record())
    until(lambda: inside)
    assert inside == [False]


def test_a_context_that_raises_does_not_stop_the_service_of_reports(
    black_hole: str,
    opened: Open,
    record: Make,
    ledger: Any,
    until: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_record: Record, _reason: str) -> None:
        raise ValueError("broken")

    context = ledger(failed=fail)
    backplane = opened(context, brokers=[black_hole], delivery_timeout_ms=300, linger_ms=1)
    for number in range(3):
        backplane.publish(record(number))
    with caplog.at_level(logging.ERROR):
        until(lambda: len({r.event_id for r, _ in context.lost}) == 3, timeout=15)


def test_only_all_is_a_contradiction_to_a_context_that_needs_each_report(
    opened: Open, ledger: Any
) -> None:
    with pytest.raises(DeliveryError, match="deliveryReports"):
        opened(ledger(report_each=True), brokers=["localhost:1"], delivery_reports="failures")


def test_a_signal_handler_may_publish_at_any_moment(kafka: EmbeddedKafka) -> None:
    program = """
        import signal, sys
        from experiment_framework import DataPlane, Exposure
        from experiment_framework_kafka import KafkaBackplane, KafkaOptions

        plane = DataPlane(KafkaBackplane(KafkaOptions(brokers=[sys.argv[1]], topic="signals")))
        extra = []

        def publish(*_):
            receipt = plane.publish(Exposure(
                experiment_name="e", variant_key="v", subject_id="s"))
            if receipt.status == "accepted":
                extra.append(receipt)

        signal.signal(signal.SIGALRM, publish)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.003)
        sent = 0
        for _ in range(30000):
            sent += plane.publish(Exposure(
                experiment_name="e", variant_key="v", subject_id="s")).status == "accepted"
        plane.flush(10)
        signal.setitimer(signal.ITIMER_REAL, 0)
        result = plane.close(10)
        assert len(extra) > 10
        assert result.delivered == sent + len(extra), (result, sent, len(extra))
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), kafka.bootstrap_servers],
        check=True,
        timeout=60,
    )


def test_publishing_before_a_broker_is_there_starts_no_connection_at_open(
    black_hole: str, opened: Open
) -> None:
    before = threading.active_count()
    opened(brokers=[black_hole])
    assert threading.active_count() == before
