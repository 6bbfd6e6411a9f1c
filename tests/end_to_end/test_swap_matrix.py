"""One program, unchanged, on every backplane: the same accounts, the same events."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest
from members import MEMBERS
from swap_matrix import BACKPLANES, REFERENCE, NotHereError, Outcome, differences, outcome_of

REQUIRED = {
    "kafka, Apache": "EXPERIMENT_REQUIRE_BROKER",
    "sql, PostgreSQL": "EXPERIMENT_REQUIRE_POSTGRESQL",
    "redis, third-party": "EXPERIMENT_REQUIRE_REDIS",
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return outcome_of(REFERENCE, tmp_path_factory.mktemp("reference"))


def test_the_program_uses_what_a_backplane_has_to_carry(reference: Outcome) -> None:
    types = {event["eventType"] for event in reference.events.values()}
    ledger = reference.ledger

    assert types == {"Exposure", "Outcome", "Assignment", "AnalysisSignal"}
    assert (ledger["offered"], ledger["refused"], ledger["disabled"]) == (231, 1, 10)
    assert 0 < ledger["sampled_out"] == 220 - len(reference.events)
    assert ledger["delivered"] == len(reference.events)
    assert {event["metadata"].get("samplingRate") for event in reference.events.values()} >= {0.5}


def test_no_backplane_that_is_shipped_is_left_out() -> None:
    shipped: set[str] = set()
    for member in MEMBERS:
        points = member.project.get("entry-points", {})
        shipped |= points.get("experiment_framework.backplanes", {}).keys()

    assert len(shipped) >= 7
    assert shipped <= {name.partition(",")[0] for name in BACKPLANES}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [name for name in BACKPLANES if name != REFERENCE])
def test_a_backplane_gives_the_same_events_and_the_same_accounts(
    name: str, reference: Outcome, tmp_path: Path
) -> None:
    try:
        outcome = outcome_of(name, tmp_path)
    except NotHereError as missing:
        if os.environ.get(REQUIRED[name]):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(f"{name}: {missing}")

    assert differences(outcome, reference) == []


def test_each_kind_of_difference_is_seen(reference: Outcome) -> None:
    first, second, *_ = reference.events
    events = dict(reference.events)
    events["new"] = events.pop(first)
    events[second] = events[second] | {"correlationId": "another"}
    other = attrs.evolve(
        reference, events=events, ledger={**reference.ledger, "failed": 1}, way="repeated"
    )

    found = differences(other, reference)

    assert [each.split()[0] for each in found] == ["failed:", "events", first, "new", f"{second}:"]
    assert differences(reference, reference) == []
