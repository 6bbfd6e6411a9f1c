"""What all tests share: the real broker, and how long a test that needs it may take."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from apache_kafka import ApacheKafka, KafkaUnavailableError

REQUIRE_BROKER = "EXPERIMENT_REQUIRE_BROKER"

# The first test that asks for the broker also waits for Maven and for its start.
BROKER_TEST_SECONDS = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "kafka_broker" in getattr(item, "fixturenames", ()):
            item.add_marker("broker")
        if item.get_closest_marker("broker") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(BROKER_TEST_SECONDS))


@pytest.fixture(scope="session")
def apache_kafka() -> type[ApacheKafka]:
    """The class of the real broker, for a test that needs a node of its own.

    Skips where it cannot run; fails instead where ``EXPERIMENT_REQUIRE_BROKER`` is set.
    """
    try:
        ApacheKafka.check_available()
    except KafkaUnavailableError as missing:
        if os.environ.get(REQUIRE_BROKER):
            pytest.fail(f"{REQUIRE_BROKER} is set, and {missing}", pytrace=False)
        pytest.skip(f"needs Apache Kafka: {missing}")
    return ApacheKafka


@pytest.fixture(scope="session")
def kafka_broker(
    apache_kafka: type[ApacheKafka], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApacheKafka]:
    """The one real broker of this run; a test leaves it running, however it treated it."""
    with apache_kafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker
