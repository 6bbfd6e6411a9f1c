from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient
from experiment_framework import DataPlane, Exposure
from experiment_framework.envelope import Record
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions, SecurityOptions
from experiment_framework_kafka.progress import Progress

Open = Callable[..., KafkaBackplane]
Make = Callable[..., Record]
Until = Callable[..., None]


def test_asking_never_waits_and_a_silent_broker_is_unhealthy(
    black_hole: str, opened: Open, until: Until
) -> None:
    backplane = opened(brokers=[black_hole])
    slowest = 0.0

    def is_unhealthy() -> bool:
        nonlocal slowest
        started = time.monotonic()
        health = backplane.health()
        slowest = max(slowest, time.monotonic() - started)
        return health.status == "UNHEALTHY"

    until(is_unhealthy, timeout=6)
    assert slowest < 0.05
    health = backplane.health()
    assert black_hole in health.message
    assert health.details["brokersReachable"] == 0
    assert health.details["lastDeliveryAgeSeconds"] is None


def test_before_the_first_answer_it_is_not_healthy(black_hole: str, opened: Open) -> None:
    backplane = opened(brokers=[black_hole])
    assert backplane.health().status == "DEGRADED"


def test_a_port_that_hangs_up_is_told_apart_from_one_that_is_not_there(
    opened: Open, until: Until
) -> None:
    class HangUp(socketserver.BaseRequestHandler):
        """Ends a connection at its first bytes, as a port with TLS does."""

        def handle(self) -> None:
            self.request.recv(1)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), HangUp) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        backplane = opened(brokers=[f"127.0.0.1:{server.server_address[1]}"])
        until(lambda: "security.protocol" in backplane.health().message)
        server.shutdown()


def test_brokers_that_answer_are_healthy(
    kafka: EmbeddedKafka, opened: Open, record: Make, until: Until, topic: str
) -> None:
    backplane = opened(brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=1)
    backplane.publish(record())
    backplane.flush(10)
    until(lambda: backplane.health().is_healthy)
    details = backplane.health().details
    assert details["brokersReachable"] == 3
    assert details["outstanding"] == 0
    assert details["oldestPendingAgeSeconds"] is None
    assert 0 <= details["lastDeliveryAgeSeconds"] < 10


def test_missing_topics_are_named_and_not_created(
    kafka: EmbeddedKafka, opened: Open, until: Until, topic: str
) -> None:
    backplane = opened(brokers=[kafka.bootstrap_servers], topic_prefix=topic[-100:])
    until(lambda: backplane.health().details.get("missingTopics"))
    health = backplane.health()
    assert health.status == "DEGRADED"
    assert f"{topic[-100:]}experiment-outcomes" in health.message
    known = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=5)
    assert not [name for name in known.topics if name.startswith(topic[-100:])]


def test_a_client_that_is_being_replaced_is_degraded_and_fatal(
    kafka: EmbeddedKafka, opened: Open, record: Make, until: Until, topic: str
) -> None:
    backplane = opened(brokers=[kafka.bootstrap_servers], topic=topic, linger_ms=1)
    backplane.publish(record())
    until(lambda: backplane.health().is_healthy)
    # For the instant that it takes, which is too short to be met from outside.
    backplane._service._succession.failure = "it gave up"  # type: ignore[union-attr]
    health = backplane.health()
    assert health.status == "DEGRADED"
    assert health.details["isFatal"] is True
    assert "it gave up" in health.message


def test_before_there_is_a_client_nothing_has_answered(black_hole: str) -> None:
    with DataPlane(KafkaBackplane(KafkaOptions(brokers=[black_hole]))) as plane:
        first = plane.health()
        assert first.status == "DEGRADED"
        assert first.details["answered"] is False


def test_a_failed_delivery_is_told_with_its_reason(
    black_hole: str, opened: Open, record: Make, until: Until
) -> None:
    backplane = opened(brokers=[black_hole], delivery_timeout_ms=300, linger_ms=1)
    backplane.publish(record())
    until(lambda: "1 deliveries failed" in backplane.health().message)
    assert "timed_out" in backplane.health().message


def test_a_queue_that_fills_is_told(
    black_hole: str, opened: Open, record: Make, ledger: Callable[..., object]
) -> None:
    backplane = opened(ledger(max_queue_size=10), brokers=[black_hole])
    for number in range(9):
        backplane.publish(record(number))
    health = backplane.health()
    assert health.details["queueFill"] == pytest.approx(0.9)
    assert "90% full" in health.message


def test_records_that_wait_have_an_age(
    black_hole: str, opened: Open, record: Make, until: Until
) -> None:
    backplane = opened(brokers=[black_hole])
    backplane.publish(record())
    until(lambda: (backplane.health().details["oldestPendingAgeSeconds"] or 0) > 0.2)
    assert backplane.health().details["lastDeliveryAgeSeconds"] is None


def test_a_client_that_cannot_be_made_is_unhealthy_and_publishing_says_why(until: Until) -> None:
    security = SecurityOptions(
        protocol="SASL_PLAINTEXT", mechanism="PLAIN", username="u", password="p"
    )
    config = {"sasl.kerberos.min.time.before.relogin": "0", "enable.gapless.guarantee": True}
    options = KafkaOptions(
        brokers=["127.0.0.1:1"],
        security=security,
        enable_idempotence=False,
        additional_config=config,
    )
    with DataPlane(KafkaBackplane(options)) as plane:
        until(lambda: plane.health().status == "UNHEALTHY")
        assert "cannot be made" in plane.health().message
        receipt = plane.publish(Exposure(experiment_name="e", variant_key="v", subject_id="s"))
        assert receipt.status == "dropped"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_counts_from_the_first_record_that_waits() -> None:
    clock = Clock()
    progress = Progress(clock)
    progress.observe(accepted=5, outstanding=5, failed=0)
    clock.now += 3
    progress.observe(accepted=9, outstanding=9, failed=0)
    assert progress.waiting_since == 100.0
    assert progress.last_delivery is None


def test_progress_under_load_is_no_waiting() -> None:
    clock = Clock()
    progress = Progress(clock)
    for accepted in range(1, 1000):
        clock.now += 0.1
        progress.observe(accepted * 10, outstanding=20, failed=0)
    assert progress.waiting_since is not None
    assert clock.now - progress.waiting_since < 0.5
    assert progress.last_delivery == clock.now


def test_progress_ends_when_nothing_is_outstanding() -> None:
    progress = Progress(Clock())
    progress.observe(5, 5, 0)
    progress.observe(5, 0, 0)
    assert progress.waiting_since is None
    assert progress.last_delivery == 100.0


def test_the_end_of_what_was_never_accepted_is_no_delivery() -> None:
    clock = Clock()
    progress = Progress(clock)
    progress.observe(0, 3, 0)  # log lines of the client, which count as outstanding
    progress.observe(0, 0, 0)
    assert progress.last_delivery is None
    progress.observe(5, 0, 0)
    clock.now += 10
    progress.observe(5, 2, 0)
    progress.observe(5, 0, 0)
    assert progress.last_delivery == 100.0


def test_a_failure_is_no_delivery() -> None:
    progress = Progress(Clock())
    progress.observe(5, 5, 0)
    progress.observe(5, 0, 5)
    assert progress.last_delivery is None
