"""What the end-to-end tests publish, and where to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from apache_kafka import ApacheKafka
from experiment_framework import (
    AnalysisSignal,
    Assignment,
    DataPlane,
    ErrorEvent,
    Event,
    Exposure,
    Outcome,
)
from experiment_framework_kafka import KafkaBackplane, KafkaOptions
from kafka_audit import create_topics

HAPPENED = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)

_numbers = itertools.count(1)


@pytest.fixture
def new_topic(kafka_broker: ApacheKafka) -> Callable[[int], str]:
    """Make a topic of so many partitions that no other test uses."""

    def make(partitions: int) -> str:
        name = f"end-to-end-{next(_numbers)}"
        create_topics(kafka_broker.bootstrap_servers, {name: partitions})
        return name

    return make


@pytest.fixture
def open_plane(kafka_broker: ApacheKafka) -> Iterator[Callable[..., DataPlane]]:
    """Make data planes on the broker; all are closed when the test is over."""
    planes: list[DataPlane] = []

    def make(**options: object) -> DataPlane:
        settings = {"brokers": [kafka_broker.bootstrap_servers], "linger_ms": 5} | options
        planes.append(DataPlane(KafkaBackplane(KafkaOptions(**settings))))
        return planes[-1]

    yield make
    for plane in planes:
        plane.close(timeout=5)


@pytest.fixture
def one_of_each() -> list[Event]:
    """Give one event of each type, with all that is optional."""
    subject = {"subject_id": "user-17", "tenant_id": "acme"}
    return [
        Exposure(
            experiment_name="checkout",
            variant_key="green",
            subject_type="user",
            selection_reason="rule",
            rule_path="rules.eu",
            assignment_policy="SubjectSticky",
            attributes={"länder": ["AT", "DE"], "depth": 3},
            timestamp=HAPPENED,
            **subject,
        ),
        Assignment(
            experiment_name="checkout",
            previous_variant_key="blue",
            new_variant_key="green",
            change_reason="ramp",
            timestamp=HAPPENED,
            **subject,
        ),
        Outcome(
            experiment_name="checkout",
            variant_key="green",
            metric_name="basket",
            outcome_type="Continuous",
            value=12.5,
            timestamp=HAPPENED,
            **subject,
        ),
        AnalysisSignal(
            experiment_name="checkout",
            signal_type="SampleRatioMismatch",
            severity="Warning",
            message="ratio is off",
            data={"pValue": 0.0003},
            timestamp=HAPPENED,
        ),
        ErrorEvent(
            experiment_name="checkout",
            variant_key="green",
            error_type="TimeoutError",
            message="no answer",
            fallback_variant_key="blue",
            timestamp=HAPPENED,
            **subject,
        ),
    ]


@pytest.fixture
def exposures() -> Callable[..., Iterator[Exposure]]:
    """Make exposures of so many subjects, tenants and experiments in turn."""

    def make(
        count: int, *, subjects: int = 50, tenants: int = 5, experiments: int = 7
    ) -> Iterator[Exposure]:
        for number in range(count):
            yield Exposure(
                experiment_name=f"experiment-{number % experiments}",
                variant_key="ab"[number % 2],
                subject_id=f"user-{number % subjects}",
                tenant_id=f"tenant-{number % tenants}",
                attributes={"number": number},
            )

    return make
