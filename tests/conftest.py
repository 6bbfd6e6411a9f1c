"""What all tests share: the real broker, and how long a test that needs it may take."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import hypothesis
import pytest
from apache_kafka import ApacheKafka, KafkaUnavailableError
from postgresql import PostgreSQL, PostgreSQLUnavailableError

REQUIRE_BROKER = "EXPERIMENT_REQUIRE_BROKER"
NEEDS_BROKER = "needs Apache Kafka"
REQUIRE_POSTGRESQL = "EXPERIMENT_REQUIRE_POSTGRESQL"
NEEDS_POSTGRESQL = "needs PostgreSQL"

# The first test that asks for the broker also waits for Maven and for its start.
BROKER_TEST_SECONDS = 300


# A run that decides about a change tries the same examples each time; those by hand try new ones.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "kafka_broker" in getattr(item, "fixturenames", ()):
            item.add_marker("broker")
        if item.get_closest_marker("broker") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(BROKER_TEST_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give all tests that want for a server one place, which makes one line of the summary."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        _, _, reason = report.longrepr
        if NEEDS_BROKER in reason or NEEDS_POSTGRESQL in reason:
            report.longrepr = (__file__, 0, reason)
    return report


@pytest.fixture(scope="session")
def apache_kafka() -> type[ApacheKafka]:
    """The class of the real broker, for a test that needs a node of its own.

    Skips where it cannot run; fails instead where ``EXPERIMENT_REQUIRE_BROKER`` is set.
    """
    missing = _what_is_missing()
    if missing and os.environ.get(REQUIRE_BROKER):
        pytest.fail(f"{REQUIRE_BROKER} is set, and {missing}", pytrace=False)
    if missing:
        pytest.skip(f"{NEEDS_BROKER}: {missing}")
    return ApacheKafka


def _what_is_missing() -> str | None:
    try:
        ApacheKafka.check_available()
    except KafkaUnavailableError as missing:
        return str(missing)
    return None


@pytest.fixture(scope="session")
def kafka_broker(
    apache_kafka: type[ApacheKafka], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApacheKafka]:
    """The one real broker of this run; a test leaves it running, however it treated it."""
    with apache_kafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """The one real PostgreSQL of this run; a test leaves it running, however it treated it.

    Skips where it cannot run; fails instead where ``EXPERIMENT_REQUIRE_POSTGRESQL`` is set.
    """
    try:
        PostgreSQL.check_available()
    except PostgreSQLUnavailableError as missing:
        if os.environ.get(REQUIRE_POSTGRESQL):
            pytest.fail(f"{REQUIRE_POSTGRESQL} is set, and {missing}", pytrace=False)
        pytest.skip(f"{NEEDS_POSTGRESQL}: {missing}")
    with PostgreSQL() as server:
        yield server
