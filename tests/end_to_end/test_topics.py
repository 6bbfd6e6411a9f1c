"""Where events land, and what an independent client finds there."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

import pytest
from apache_kafka import ApacheKafka
from experiment_framework import DataPlane, Event, correlation
from kafka_audit import Found, create_topics, stored_records

DEFAULT_TOPICS = {
    "Exposure": "experiment-exposures",
    "Assignment": "experiment-assignments",
    "Outcome": "experiment-outcomes",
    "AnalysisSignal": "experiment-analysis-signals",
    "Error": "experiment-errors",
}
HAPPENED_MS = 1_772_368_215_250

PAYLOADS = {
    "Exposure": {
        "timestamp": "2026-03-01T12:30:15.250000Z",
        "experimentName": "checkout",
        "variantKey": "green",
        "subjectId": "user-17",
        "subjectType": "user",
        "tenantId": "acme",
        "selectionReason": "rule",
        "rulePath": "rules.eu",
        "assignmentPolicy": "SubjectSticky",
        "isRepeatExposure": False,
        "attributes": {"länder": ["AT", "DE"], "depth": 3},
    },
    "Assignment": {
        "timestamp": "2026-03-01T12:30:15.250000Z",
        "experimentName": "checkout",
        "subjectId": "user-17",
        "tenantId": "acme",
        "previousVariantKey": "blue",
        "newVariantKey": "green",
        "changeReason": "ramp",
        "assignmentPolicy": "BestEffort",
    },
    "Outcome": {
        "timestamp": "2026-03-01T12:30:15.250000Z",
        "experimentName": "checkout",
        "variantKey": "green",
        "subjectId": "user-17",
        "tenantId": "acme",
        "metricName": "basket",
        "outcomeType": "Continuous",
        "value": 12.5,
    },
    "AnalysisSignal": {
        "timestamp": "2026-03-01T12:30:15.250000Z",
        "experimentName": "checkout",
        "signalType": "SampleRatioMismatch",
        "severity": "Warning",
        "message": "ratio is off",
        "data": {"pValue": 0.0003},
    },
    "Error": {
        "timestamp": "2026-03-01T12:30:15.250000Z",
        "experimentName": "checkout",
        "variantKey": "green",
        "subjectId": "user-17",
        "tenantId": "acme",
        "errorType": "TimeoutError",
        "message": "no answer",
        "fallbackVariantKey": "blue",
    },
}


@pytest.fixture(scope="session")
def default_topics(kafka_broker: ApacheKafka) -> list[str]:
    create_topics(kafka_broker.bootstrap_servers, dict.fromkeys(DEFAULT_TOPICS.values(), 3))
    return list(DEFAULT_TOPICS.values())


def check(found: Found, event_type: str, event_id: str) -> None:
    """Hold a stored record to the wire format, by bytes."""
    envelope = json.loads(found.value)
    assert list(envelope) == [
        "eventId",
        "timestamp",
        "eventType",
        "schemaVersion",
        "payload",
        "correlationId",
        "metadata",
    ]
    assert envelope["eventId"] == event_id
    assert envelope["eventType"] == event_type
    assert envelope["schemaVersion"] == "1.0.0"
    assert envelope["timestamp"].endswith("Z")
    assert envelope["payload"] == PAYLOADS[event_type]
    assert envelope["correlationId"] == "request-1"
    assert envelope["metadata"] == {"release": "7"}
    assert found.headers == {
        "event-id": event_id.encode(),
        "event-type": event_type.encode(),
        "schema-version": b"1.0.0",
        "correlation-id": b"request-1",
    }
    assert found.key == b"checkout"
    assert found.timestamp == HAPPENED_MS


def test_each_event_type_goes_to_its_default_topic_as_the_wire_format_says(
    kafka_broker: ApacheKafka,
    default_topics: list[str],
    open_plane: Callable[..., DataPlane],
    one_of_each: list[Event],
) -> None:
    plane = open_plane()
    with correlation("request-1"):
        ids = {
            event.event_type: plane.publish(event, metadata={"release": "7"}).event_id
            for event in one_of_each
        }
    assert plane.flush(timeout=20).delivered == 5
    for event_type, topic in DEFAULT_TOPICS.items():
        (found,) = stored_records(kafka_broker.bootstrap_servers, topic)
        check(found, event_type, ids[event_type])


def test_unified_topic_takes_every_type_in_order_of_publishing(
    kafka_broker: ApacheKafka,
    new_topic: Callable[[int], str],
    open_plane: Callable[..., DataPlane],
    one_of_each: list[Event],
) -> None:
    topic = new_topic(3)
    plane = open_plane(topic=topic)
    ids = [
        plane.publish(event, correlation_id="request-1", metadata={"release": "7"}).event_id
        for event in one_of_each
    ]
    assert plane.close().is_complete
    stored = stored_records(kafka_broker.bootstrap_servers, topic)
    assert len({found.partition for found in stored}) == 1
    for found, event, event_id in zip(stored, one_of_each, ids, strict=True):
        check(found, event.event_type, event_id)


def test_event_without_a_correlation_has_no_such_header_and_null_in_its_body(
    kafka_broker: ApacheKafka,
    new_topic: Callable[[int], str],
    open_plane: Callable[..., DataPlane],
    one_of_each: list[Event],
) -> None:
    topic = new_topic(1)
    assert open_plane(topic=topic).publish_and_wait(one_of_each[0], 20).status == "delivered"
    (found,) = stored_records(kafka_broker.bootstrap_servers, topic)
    assert json.loads(found.value)["correlationId"] is None
    assert set(found.headers) == {"event-id", "event-type", "schema-version"}


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")
def test_kcat_reads_headers_and_body(
    kafka_broker: ApacheKafka,
    new_topic: Callable[[int], str],
    open_plane: Callable[..., DataPlane],
    one_of_each: list[Event],
) -> None:
    topic = new_topic(1)
    receipt = open_plane(topic=topic).publish_and_wait(one_of_each[0], 20)
    command = ["kcat", "-b", kafka_broker.bootstrap_servers, "-C", "-t", topic, "-e", "-q"]
    printed = subprocess.run(
        [*command, "-f", "%h\n%k\n%s\n"], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    headers, key, body = printed.splitlines()
    assert headers == f"event-id={receipt.event_id},event-type=Exposure,schema-version=1.0.0"
    assert key == "checkout"
    assert json.loads(body)["payload"] == PAYLOADS["Exposure"]
