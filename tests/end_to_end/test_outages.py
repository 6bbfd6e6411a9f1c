"""What is known of every event when the broker goes away and comes back."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apache_kafka import ApacheKafka
from experiment_framework import DataPlane, DataPlaneOptions, Exposure
from experiment_framework_kafka import KafkaBackplane, KafkaOptions
from kafka_audit import create_topics, stored_records
from waiting import wait_until

TOPIC = "through-an-outage"


@pytest.fixture
def own_broker(apache_kafka: type[ApacheKafka], tmp_path: Path) -> Iterator[ApacheKafka]:
    with apache_kafka(tmp_path / "node") as broker:
        create_topics(broker.bootstrap_servers, {TOPIC: 3})
        yield broker


class Publisher(threading.Thread):
    """Publishes until it is told to stop, and keeps the ids of what was accepted."""

    def __init__(self, plane: DataPlane, events: Iterator[Exposure]) -> None:
        super().__init__()
        self._plane = plane
        self._events = events
        self._finished = threading.Event()
        self.accepted: list[str] = []

    def run(self) -> None:
        for event in self._events:
            receipt = self._plane.publish(event)
            if receipt.status == "accepted":
                self.accepted.append(receipt.event_id)
            if self._finished.wait(0.001):
                return

    def finish(self) -> list[str]:
        self._finished.set()
        self.join(timeout=10)
        assert not self.is_alive()
        return self.accepted

    def wait_for(self, more: int) -> None:
        goal = len(self.accepted) + more
        wait_until(lambda: len(self.accepted) >= goal, timeout=30, what=f"{more} more accepted")


def test_everything_accepted_through_a_restart_of_the_broker_is_delivered_once(
    own_broker: ApacheKafka, exposures: Callable[..., Iterator[Exposure]]
) -> None:
    options = KafkaOptions(brokers=[own_broker.bootstrap_servers], topic=TOPIC, linger_ms=5)
    with DataPlane(KafkaBackplane(options)) as plane:
        publisher = Publisher(plane, exposures(1_000_000))
        publisher.start()
        try:
            publisher.wait_for(300)
            own_broker.stop()
            publisher.wait_for(300)
            own_broker.start()
            publisher.wait_for(300)
        finally:
            accepted = publisher.finish()
        result = plane.flush(timeout=60)
    stored = stored_records(own_broker.bootstrap_servers, TOPIC)
    found = Counter(record.headers["event-id"].decode() for record in stored)
    assert found == Counter(accepted)
    assert (result.delivered, result.failed, result.pending) == (len(accepted), 0, 0)


def test_what_outlives_its_deadline_in_an_outage_is_reported_failed(
    own_broker: ApacheKafka, exposures: Callable[..., Iterator[Exposure]]
) -> None:
    options = KafkaOptions(
        brokers=[own_broker.bootstrap_servers],
        topic=TOPIC,
        linger_ms=5,
        delivery_timeout_ms=3000,
        request_timeout_ms=2000,
    )
    with DataPlane(KafkaBackplane(options), DataPlaneOptions(max_queue_size=5000)) as plane:
        before = [plane.publish(event).event_id for event in exposures(200)]
        assert plane.flush(timeout=20).delivered == 200
        own_broker.kill()
        during = [plane.publish(event).event_id for event in exposures(200)]
        wait_until(lambda: plane.stats().pending == 0, timeout=30, what="a fate for every event")
        own_broker.start()
        after = [plane.publish(event).event_id for event in exposures(200)]
        result = plane.close(timeout=60)
    stored = stored_records(own_broker.bootstrap_servers, TOPIC)
    found = Counter(record.headers["event-id"].decode() for record in stored)
    assert found.keys() >= {*before, *after}
    # A record may have been stored although its acknowledgement was lost with the broker.
    assert found.keys() <= {*before, *during, *after}
    assert max(found.values()) == 1
    assert result.failed == 200
    assert result.delivered == 400
    assert plane.stats().offered == 600
