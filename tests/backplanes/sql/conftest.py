"""Databases to write to, backplanes on them, and records to write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import Target
from experiment_framework.envelope import Envelope, Record, encode
from experiment_framework.events import Exposure, Outcome
from experiment_framework_sql import SqlBackplane, SqlOptions
from postgresql import PostgreSQL


class RecordingContext:
    """What a data plane gives a backplane; it has nothing to tell it."""

    max_queue_size = 1000
    max_queue_bytes = 1_000_000
    report_each = False

    def delivered(self, record: Record) -> None:
        raise AssertionError(f"core tells that {record.event_id} was delivered, not the backplane")

    def failed(self, record: Record, reason: str, *, retryable: bool = False) -> None:
        raise AssertionError(f"core tells that {record.event_id} failed, not the backplane")


@pytest.fixture
def sqlite(tmp_path: Path) -> Target:
    return Target(f"sqlite:///{tmp_path}/experiments.db", "sqlite")


@pytest.fixture
def postgresql(postgresql_server: PostgreSQL) -> Target:
    return Target(postgresql_server.create_database("experiments"), "postgresql")


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest) -> Target:
    """An empty database, of each kind in turn."""
    found: Target = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def make_backplane() -> Iterator[Callable[..., SqlBackplane]]:
    """Make backplanes that are closed when the test ends; provisioned unless asked otherwise."""
    made: list[SqlBackplane] = []

    def make(target: Target, *, provision: bool = True, **written: Any) -> SqlBackplane:
        backplane = SqlBackplane(SqlOptions(**({"url": target.url} | written)))
        backplane._context = RecordingContext()
        made.append(backplane)
        if provision:
            backplane.provision()
        backplane.open()
        return backplane

    yield make
    for backplane in made:
        backplane.close(5)


@pytest.fixture
def record() -> Callable[..., Record]:
    """Make the record of an exposure, or of an outcome where a metric is named."""

    def make(
        subject_id: str = "user-1",
        *,
        event_id: str | None = None,
        metric_name: str | None = None,
        **fields: Any,
    ) -> Record:
        fields = {"experiment_name": "checkout", "subject_id": subject_id} | fields
        if metric_name is None:
            event = Exposure(**({"variant_key": "treatment"} | fields))
        else:
            event = Outcome(
                **({"metric_name": metric_name, "outcome_type": "Binary", "value": 1} | fields)
            )
        return encode(Envelope.around(event, event_id=event_id))

    return make


@pytest.fixture
def records(record: Callable[..., Record]) -> Callable[[int], list[Record]]:
    return lambda count: [record(f"user-{index}") for index in range(count)]
