"""Encryption and log-in against a broker that asks for them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable

import pytest
from apache_kafka import ApacheKafka
from experiment_framework import DataPlane, Event
from experiment_framework_kafka import KafkaBackplane, KafkaOptions, SecurityOptions
from kafka_audit import stored_records
from waiting import wait_until


def deliver(
    broker: ApacheKafka, servers: str, topic: str, event: Event, security: SecurityOptions
) -> None:
    """Publish over the secured listener, and look for the event over the plain one."""
    options = KafkaOptions(brokers=[servers], topic=topic, linger_ms=5, security=security)
    with DataPlane(KafkaBackplane(options)) as plane:
        receipt = plane.publish_and_wait(event, 20)
    assert receipt.status == "delivered"
    (found,) = stored_records(broker.bootstrap_servers, topic)
    assert found.headers["event-id"].decode() == receipt.event_id


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_password_over_tls_delivers(
    mechanism: str,
    kafka_broker: ApacheKafka,
    new_topic: Callable[[int], str],
    one_of_each: list[Event],
) -> None:
    security = SecurityOptions(
        protocol="SASL_SSL",
        mechanism=mechanism,
        username=kafka_broker.username,
        password=kafka_broker.password,
        ca_file=str(kafka_broker.certificates.ca),
    )
    deliver(kafka_broker, kafka_broker.sasl_tls_servers, new_topic(1), one_of_each[0], security)


def test_client_certificate_delivers(
    kafka_broker: ApacheKafka, new_topic: Callable[[int], str], one_of_each: list[Event]
) -> None:
    security = SecurityOptions(
        protocol="SSL",
        ca_file=str(kafka_broker.certificates.ca),
        cert_file=str(kafka_broker.certificates.client),
        key_file=str(kafka_broker.certificates.client_key),
    )
    deliver(kafka_broker, kafka_broker.mutual_tls_servers, new_topic(1), one_of_each[0], security)


def unsigned_token(subject: str, lifetime: float) -> tuple[str, float]:
    """Make a token of the kind that Kafka accepts unless it is told otherwise (RFC 7515, none)."""
    now = time.time()

    def part(fields: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()

    claims = {"sub": subject, "iat": now, "exp": now + lifetime}
    return f"{part({'alg': 'none'})}.{part(claims)}.", now + lifetime


def test_token_of_a_callable_delivers(
    kafka_broker: ApacheKafka, new_topic: Callable[[int], str], one_of_each: list[Event]
) -> None:
    topic = new_topic(1)
    options = KafkaOptions(
        brokers=[kafka_broker.sasl_servers],
        topic=topic,
        linger_ms=5,
        security=SecurityOptions(protocol="SASL_PLAINTEXT", mechanism="OAUTHBEARER"),
    )
    backplane = KafkaBackplane(
        options, oauth_token=lambda: unsigned_token("experimenter", lifetime=600)
    )
    with DataPlane(backplane) as plane:
        receipt = plane.publish_and_wait(one_of_each[0], 20)
    assert receipt.status == "delivered"
    assert len(stored_records(kafka_broker.bootstrap_servers, topic)) == 1


def test_wrong_password_shows_in_health_and_the_password_does_not(
    kafka_broker: ApacheKafka, new_topic: Callable[[int], str]
) -> None:
    security = SecurityOptions(
        protocol="SASL_PLAINTEXT",
        mechanism="SCRAM-SHA-256",
        username=kafka_broker.username,
        password="canary-and-wrong",
    )
    options = KafkaOptions(
        brokers=[kafka_broker.sasl_servers], topic=new_topic(1), security=security
    )
    with DataPlane(KafkaBackplane(options)) as plane:
        wait_until(
            lambda: "authentication" in plane.health().message.lower(),
            timeout=30,
            what="the failed authentication in the health",
        )
        assert plane.health().status == "UNHEALTHY"
        assert "canary-and-wrong" not in str(plane.health())
        plane.close(timeout=1)
