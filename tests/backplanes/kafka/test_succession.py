from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message
from experiment_framework import DataPlane, Exposure
from experiment_framework.envelope import Record
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions
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
