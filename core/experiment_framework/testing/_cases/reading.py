"""What a backplane can do besides: create what it needs, and read back what it keeps."""

from __future__ import annotations

from typing import Final

import pytest

from experiment_framework.dataplane import DataPlane
from experiment_framework.envelope import decode
from experiment_framework.events import ErrorEvent
from experiment_framework.plugin import Query
from experiment_framework.testing._cases.harness import Harness

__all__ = ["ReadingCases"]

_IDLE: Final = 3.0
"""Seconds that a reader waits for more: a client may need one to find its first record."""


class ReadingCases:
    """Each is skipped where the backplane has no such hook."""

    def test_what_was_delivered_can_be_read_back(self, harness: Harness) -> None:
        plane = _readable(harness)
        ids = harness.deliver(plane, [harness.event(key=number % 3) for number in range(50)])
        harness.expect(ids)
        assert set(ids) <= set(_read(harness, plane, Query()))

    def test_what_is_read_can_be_filtered(self, harness: Harness) -> None:
        plane = _readable(harness)
        exposures = harness.deliver(plane, [harness.event(key=key) for key in (1, 2)])
        errors = harness.deliver(plane, [ErrorEvent(error_type="Timeout", message="no answer")])
        everything = {*exposures, *errors}

        def read(query: Query) -> set[str]:
            return everything & set(_read(harness, plane, query))

        assert read(Query(event_types=frozenset({"Error"}))) == set(errors)
        assert read(Query(experiment_name="experiment-2")) == {exposures[1]}
        assert read(Query(variant_key="of-no-event")) == set()

    def test_a_reader_that_follows_ends_when_nothing_came_for_its_time(
        self, harness: Harness
    ) -> None:
        plane = _readable(harness)
        ids = harness.deliver(plane, [harness.event()])
        assert set(ids) <= set(_read(harness, plane, Query(follow=True, idle_timeout=_IDLE)))

    def test_each_thing_that_is_read_says_where_it_is_kept(self, harness: Harness) -> None:
        plane = _readable(harness)
        harness.deliver(plane, [harness.event()])
        stored = harness.within(2 * harness.patience, "read", lambda: list(plane.read(Query())))
        assert stored
        assert all(each.place for each in stored)

    def test_a_read_goes_on_where_an_earlier_one_was(self, harness: Harness) -> None:
        plane = _readable(harness)
        ids = harness.deliver(plane, [harness.event(key=number % 3) for number in range(20)])
        stored = harness.within(2 * harness.patience, "read", lambda: list(plane.read(Query())))
        if any(each.position is None for each in stored):
            pytest.skip("it gives no positions")
        seen = stored[: len(stored) // 2]
        after = dict(each.position for each in seen if each.position is not None)
        missing = set(ids) - {decode(each.body).event_id for each in seen}
        assert missing <= set(_read(harness, plane, Query(after=after)))
        assert set(ids) <= set(_read(harness, plane, Query(after={}, from_start=False)))

    def test_to_provision_again_changes_nothing(self, harness: Harness) -> None:
        plane = harness.plane()
        if plane.hooks.provision is None:
            pytest.skip("it has nothing to provision")
        first = harness.within(2 * harness.patience, "provision", plane.provision)
        second = harness.within(2 * harness.patience, "provision", plane.provision)
        failed = [each for each in (*first, *second) if each.action == "failed"]
        assert not failed, failed
        assert {each.action for each in second} <= {"exists"}, second
        harness.expect(harness.deliver(plane, [harness.event()]))


def _readable(harness: Harness) -> DataPlane:
    plane = harness.plane()
    if plane.hooks.read is None:
        pytest.skip("it cannot read")
    return plane


def _read(harness: Harness, plane: DataPlane, query: Query) -> list[str]:
    def read() -> list[str]:
        return [decode(stored.body).event_id for stored in plane.read(query)]

    return harness.within(2 * harness.patience, "read", read)
