from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accounts import is_balanced
from confluent_kafka import KafkaError, Message
from experiment_framework import DataPlane, DataPlaneOptions, Exposure
from experiment_framework.dataplane_options import SpoolOptions
from experiment_framework.envelope import Record
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions
from experiment_framework_kafka.producer import KafkaProducer
from kafka_faults import INIT_PRODUCER_ID_REQUEST, PRODUCE_REQUEST, make_fatal, producer_of

Open = Callable[..., KafkaBackplane]
Make = Callable[..., Record]
Until = Callable[..., None]
Consume = Callable[[str], list[Message]]


@pytest.mark.parametrize("report_each", [False, True])
def test_what_a_client_that_gave_up_had_not_sent_is_sent_by_another(
    kafka: EmbeddedKafka,
    opened: Open,
    record: Make,
    ledger: Any,
    consumed: Consume,
    topic: str,
    *,
    report_each: bool,
) -> None:
    context = ledger(report_each=report_each)
    backplane = opened(context, brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=50)
    some = [record(number) for number in range(60)]
    for one in some[:20]:
        backplane.publish(one)
    assert backplane.flush(10)
    first = producer_of(backplane)
    for one in some[20:40]:
        backplane.publish(one)
    make_fatal(backplane)
    for one in some[40:]:
        backplane.publish(one)
    assert backplane.flush(20)
    assert producer_of(backplane) is not first
    assert context.lost == []
    assert len(context.arrived) == (60 if report_each else 0)
    messages = consumed(topic)  # of one key, so of one partition
    assert [m.value() for m in messages] == [one.body for one in some]
    assert backplane.health().details["producersReplaced"] == 1
    assert backplane.health().details["isFatal"] is False


def test_an_error_of_the_brokers_answer_that_is_fatal_loses_nothing(
    kafka: EmbeddedKafka,
    broken: Callable[..., None],
    opened: Open,
    record: Make,
    ledger: Any,
    consumed: Consume,
    topic: str,
) -> None:
    context = ledger()
    backplane = opened(context, brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=5)
    some = [record(number) for number in range(40)]
    for one in some[:20]:
        backplane.publish(one)
    assert backplane.flush(10)
    broken(PRODUCE_REQUEST, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, times=1)
    for one in some[20:]:
        backplane.publish(one)
    assert backplane.flush(20)
    assert context.lost == []
    assert [m.value() for m in consumed(topic)] == [one.body for one in some]
    assert backplane.health().details["producersReplaced"] == 1


def test_order_per_key_survives_while_threads_publish_on(
    kafka: EmbeddedKafka, consumed: Consume, topic: str
) -> None:
    options = KafkaOptions(
        brokers=[kafka.bootstrap_servers], topic=topic, partition_by="subjectId", linger_ms=2
    )
    backplane = KafkaBackplane(options)
    each, threads = 4000, 3
    reached = [threading.Event() for _ in range(threads)]
    with DataPlane(backplane) as plane:

        def publish(thread: int) -> None:
            for number in range(each):
                receipt = plane.publish(
                    Exposure(
                        experiment_name="e",
                        variant_key=str(number),
                        subject_id=f"thread-{thread}",
                    )
                )
                assert receipt.status == "accepted"
                if number == each // 4:
                    reached[thread].set()

        publishers = [threading.Thread(target=publish, args=(n,)) for n in range(threads)]
        for publisher in publishers:
            publisher.start()
        for event in reached:
            assert event.wait(30)
        make_fatal(backplane)
        for publisher in publishers:
            publisher.join()
        result = plane.flush(30)
        details = plane.health().details
    assert (result.delivered, result.failed, result.dropped) == (each * threads, 0, 0)
    assert details["producersReplaced"] == 1
    published: dict[str, list[int]] = defaultdict(list)
    for message in consumed(topic):
        read = Record.from_body(message.value() or b"")
        number = int(str(read.variant_key))
        if number not in published[str(read.subject_id)]:  # what had landed may come again
            published[str(read.subject_id)].append(number)
    assert published == {f"thread-{n}": list(range(each)) for n in range(threads)}


def test_clients_that_all_give_up_are_unhealthy_and_records_fail_in_time(
    kafka: EmbeddedKafka,
    broken: Callable[..., None],
    opened: Open,
    record: Make,
    ledger: Any,
    until: Until,
    topic: str,
) -> None:
    broken(INIT_PRODUCER_ID_REQUEST, KafkaError.CLUSTER_AUTHORIZATION_FAILED, times=1000)
    context = ledger()
    backplane = opened(
        context,
        brokers=[kafka.bootstrap_servers],
        topic=topic,
        linger_ms=1,
        delivery_timeout_ms=3000,
    )
    some = [record(number) for number in range(5)]
    for one in some:
        backplane.publish(one)
    seen = [backplane.health()]

    def gives_up() -> bool:
        seen.append(backplane.health())
        return "give up one after the other" in seen[-1].message

    until(gives_up, timeout=20)
    assert seen[-1].status == "UNHEALTHY"
    assert seen[-1].details["isFatal"] is True
    assert len(context.lost) < 5
    until(lambda: len(context.lost) == 5, timeout=20)
    assert backplane.outstanding() == 0
    assert {lost.event_id for lost, _ in context.lost} == {one.event_id for one in some}
    assert {reason for _, reason in context.lost} == {"timed_out"}
    assert all(context.retryable)


def test_what_waits_for_another_client_is_bounded_and_given_back_at_close(
    kafka: EmbeddedKafka,
    broken: Callable[..., None],
    record: Make,
    ledger: Any,
    until: Until,
    topic: str,
) -> None:
    broken(INIT_PRODUCER_ID_REQUEST, KafkaError.CLUSTER_AUTHORIZATION_FAILED, times=1000)
    options = KafkaOptions(brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=1)
    from experiment_framework.dataplane_options import DataPlaneOptions

    plane = DataPlane(KafkaBackplane(options), DataPlaneOptions(max_queue_size=50))
    event = Exposure(experiment_name="e", variant_key="v", subject_id="s")
    for _ in range(40):
        assert plane.publish(event).status == "accepted"
    until(lambda: plane.health().details.get("producersReplaced", 0) >= 2, timeout=20)
    later = [plane.publish(event).status for _ in range(30)]
    assert later == ["accepted"] * 10 + ["dropped"] * 20
    result = plane.close(0.1)
    assert (result.delivered, result.failed, result.pending, result.dropped) == (0, 50, 0, 20)


def test_the_client_that_gave_up_and_its_threads_end(
    kafka: EmbeddedKafka, opened: Open, record: Make, until: Until, topic: str
) -> None:
    backplane = opened(brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=1)
    before = threading.active_count()
    backplane.publish(record())
    assert backplane.flush(10)
    for replaced in range(3):
        make_fatal(backplane)
        backplane.publish(record(replaced))
        until(lambda wanted=replaced + 1: producers_replaced(backplane) == wanted)
        assert backplane.flush(10)
    until(lambda: threading.active_count() == before + 3)
    backplane.close(1)
    until(lambda: threading.active_count() == before)


def producers_replaced(backplane: KafkaBackplane) -> int:
    return int(backplane.health().details["producersReplaced"])


def exposure(number: int) -> Exposure:
    return Exposure(experiment_name="e", variant_key=str(number), subject_id="s")


def numbers(messages: list[Message]) -> list[int]:
    return [int(str(Record.from_body(m.value() or b"").variant_key)) for m in messages]


def test_a_flush_and_a_close_under_way_end_when_the_next_client_has_sent_all(
    kafka: EmbeddedKafka, consumed: Consume, topic: str
) -> None:
    options = KafkaOptions(brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=60_000)
    backplane = KafkaBackplane(options)
    with DataPlane(backplane) as plane:
        for number in range(100):
            plane.publish(exposure(number))
        flushed: list[int] = []
        flush = threading.Thread(target=lambda: flushed.append(plane.flush(30).delivered))
        make_fatal(backplane)
        flush.start()
        flush.join()
        assert flushed == [100]
        for number in range(100, 200):
            plane.publish(exposure(number))
        make_fatal(backplane)
        result = plane.close(30)
    assert (result.delivered, result.failed, result.pending) == (200, 0, 0)
    assert numbers(consumed(topic)) == list(range(200))


def test_the_next_client_may_give_up_too_before_one_sends_all_in_order(
    kafka: EmbeddedKafka, broken: Callable[..., None], consumed: Consume, until: Until, topic: str
) -> None:
    backplane = KafkaBackplane(
        KafkaOptions(brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=1)
    )
    with DataPlane(backplane) as plane:
        plane.publish(exposure(0))
        assert plane.flush(10).delivered == 1
        broken(INIT_PRODUCER_ID_REQUEST, KafkaError.CLUSTER_AUTHORIZATION_FAILED, times=2)
        make_fatal(backplane)
        for number in range(1, 50):
            plane.publish(exposure(number))
        until(lambda: plane.health().details["producersReplaced"] >= 2)
        for number in range(50, 100):
            plane.publish(exposure(number))
        assert plane.flush(30).delivered == 100
        assert not plane.health().details["isFatal"]
    assert numbers(consumed(topic)) == list(range(100))


def test_health_is_degraded_while_there_is_no_client_and_what_is_published_waits(
    kafka: EmbeddedKafka, opened: Open, record: Make, consumed: Consume, until: Until, topic: str
) -> None:
    backplane = opened(brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=1)
    backplane.publish(record(0))
    assert backplane.flush(10)
    assert backplane._service is not None
    succession = backplane._service._succession
    make, may_go_on = succession._make, threading.Event()

    def make_late(of: Any) -> KafkaProducer:
        assert may_go_on.wait(30)
        return make(of)

    succession._make = make_late
    make_fatal(backplane)
    until(lambda: "another takes its place" in backplane.health().message)
    health = backplane.health()
    assert (health.status, health.details["isFatal"]) == ("DEGRADED", True)
    for number in range(1, 5):
        backplane.publish(record(number))
    assert not backplane.flush(0.1)
    assert backplane.outstanding() == 4
    may_go_on.set()
    assert backplane.flush(20)
    until(lambda: backplane.health().is_healthy)
    assert len(consumed(topic)) == 5


@pytest.mark.parametrize("mode", ["overflow", "writeAhead"])
def test_what_no_client_can_send_is_spooled_at_close_and_sent_by_the_next_process(
    kafka: EmbeddedKafka,
    broken: Callable[..., None],
    mend: Callable[[], None],
    consumed: Consume,
    until: Until,
    topic: str,
    tmp_path: Path,
    mode: Any,
) -> None:
    data_plane = DataPlaneOptions(spool=SpoolOptions(directory=tmp_path, mode=mode))
    options = KafkaOptions(brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=1)
    backplane = KafkaBackplane(options)
    with DataPlane(backplane, data_plane) as plane:
        plane.publish(exposure(0))
        assert plane.flush(10).delivered == 1
        broken(INIT_PRODUCER_ID_REQUEST, KafkaError.CLUSTER_AUTHORIZATION_FAILED, times=1000)
        make_fatal(backplane)
        for number in range(1, 40):
            plane.publish(exposure(number))
        until(lambda: plane.health().details["producersReplaced"] >= 2)
        plane.close(0.5)
        stats = plane.stats()
        assert (stats.delivered, stats.spooled, stats.failed) == (1, 39, 0)
        assert is_balanced(stats)
    mend()
    with DataPlane(KafkaBackplane(options), data_plane) as plane:
        until(lambda: plane.stats().spooled == 0, timeout=30)
        assert plane.flush(20).delivered == 39
    assert numbers(consumed(topic)) == list(range(40))
