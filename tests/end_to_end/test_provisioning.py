"""Topics that `provision` makes, described by an independent client."""

from __future__ import annotations

from collections.abc import Callable

from apache_kafka import ApacheKafka
from experiment_framework import DataPlane, Event
from experiment_framework_kafka import ProvisionOptions
from kafka_audit import describe_topic, stored_records


def test_provision_creates_topics_as_declared_and_leaves_them_the_next_time(
    kafka_broker: ApacheKafka, open_plane: Callable[..., DataPlane], one_of_each: list[Event]
) -> None:
    declared = ProvisionOptions(partitions=4, replication_factor=1, retention_ms=86_400_000)
    plane = open_plane(topic_prefix="provisioned-", provision=declared)
    made = plane.provision()
    assert {entry.action for entry in made} == {"created"}
    assert len(made) == 5
    for event_type in ("exposures", "assignments", "outcomes", "analysis-signals", "errors"):
        topic = describe_topic(
            kafka_broker.bootstrap_servers, f"provisioned-experiment-{event_type}"
        )
        assert (topic.partitions, topic.replicas) == (4, 1)
        assert topic.settings["retention.ms"] == "86400000"
    assert {entry.action for entry in plane.provision()} == {"exists"}
    for event in one_of_each:
        plane.publish(event)
    assert plane.flush(timeout=20).delivered == 5
    assert len(stored_records(kafka_broker.bootstrap_servers, "provisioned-experiment-errors")) == 1


def test_provision_reports_what_the_broker_refuses(open_plane: Callable[..., DataPlane]) -> None:
    declared = ProvisionOptions(partitions=1, replication_factor=3)
    (entry,) = open_plane(topic="needs-three-brokers", provision=declared).provision()
    assert entry.action == "failed"
    assert "replication" in entry.detail.lower()
