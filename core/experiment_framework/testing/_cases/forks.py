"""A process that was forked delivers its own events, and nothing of its parent's."""

from __future__ import annotations

import json
import os
import select
import signal
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from experiment_framework.dataplane import DataPlane
from experiment_framework.testing._cases.harness import Harness, fail

__all__ = ["ForkCases"]


class _Child:
    """A forked process that does some work and tells the outcome as JSON."""

    def __init__(self, work: Callable[[], dict[str, Any]]) -> None:
        self._outcome, told = os.pipe()
        with warnings.catch_warnings():
            # From Python 3.12 on a fork beside threads is warned of: here it is what is tested.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            _tell(work, told)
        os.close(told)

    def outcome(self, seconds: float) -> dict[str, Any]:
        """Wait for the end; kill it when the time is over."""
        parts = []
        try:
            while select.select([self._outcome], [], [], seconds)[0]:
                part = os.read(self._outcome, 65536)
                if not part:
                    break
                parts.append(part)
            else:
                fail(f"the forked process did not come to its end within {seconds:g} s")
        finally:
            os.close(self._outcome)
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        outcome: dict[str, Any] = json.loads(b"".join(parts))
        if "raised" in outcome:
            fail(f"in the forked process: {outcome['raised']}")
        return outcome


def _tell(work: Callable[[], dict[str, Any]], told: int) -> None:
    """Work, tell, and end at once: nothing of the test run that was copied may go on here."""
    try:
        outcome = work()
    except BaseException:  # noqa: BLE001  # told to the parent
        outcome = {"raised": traceback.format_exc()}
    try:
        with os.fdopen(told, "wb") as pipe:
            pipe.write(json.dumps(outcome).encode())
    finally:
        os._exit(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
class ForkCases:
    """The data plane is made before the fork, as by a server that loads before it forks."""

    def test_a_forked_process_delivers_its_own_events(self, harness: Harness) -> None:
        plane = harness.plane()
        before = harness.deliver(plane, [harness.event() for _ in range(5)])
        told = _Child(lambda: self._publish_and_close(harness, plane)).outcome(
            2 * harness.patience + 5
        )
        assert (told["delivered"], told["failed"]) == (len(told["ids"]), 0), (
            f"of {len(told['ids'])} events of a forked process {told['delivered']} were delivered "
            f"and {told['failed']} failed"
        )
        if harness.under_test.outlives_process:
            harness.expect([*before, *told["ids"]])
        else:
            assert set(told["ids"]) <= set(told["arrived"])

    def test_the_parent_goes_on_when_a_forked_process_has_closed(self, harness: Harness) -> None:
        plane = harness.plane(retryDeadlineMs=0)  # a connection that the child ended shows at once
        before = harness.deliver(plane, [harness.event() for _ in range(5)])
        _Child(lambda: self._publish_and_close(harness, plane)).outcome(2 * harness.patience + 5)
        after = harness.deliver(plane, [harness.event() for _ in range(5)])
        harness.expect([*before, *after])

    def test_parent_and_forked_process_publish_at_the_same_time(self, harness: Harness) -> None:
        plane = harness.plane()
        ids = harness.deliver(plane, [harness.event() for _ in range(5)])
        child = _Child(lambda: self._publish_and_close(harness, plane, rounds=20))
        for _ in range(20):
            ids += harness.deliver(plane, [harness.event() for _ in range(5)])
        told = child.outcome(2 * harness.patience + 5)
        assert (told["delivered"], told["failed"]) == (len(told["ids"]), 0), told
        harness.expect(ids)
        if harness.under_test.outlives_process:
            harness.expect(told["ids"])

    def test_what_waits_at_a_fork_is_sent_by_the_parent_alone(self, harness: Harness) -> None:
        plane = harness.plane(flushIntervalMs=3_600_000)
        waiting = harness.publish(plane, 20)
        told = _Child(lambda: self._publish_and_close(harness, plane)).outcome(
            2 * harness.patience + 5
        )
        harness.flush(plane)
        harness.expect(waiting)
        assert told["offered"] == len(told["ids"]), (
            f"the accounts of a forked process begin with its own events: {told}"
        )

    def _publish_and_close(
        self, harness: Harness, plane: DataPlane, rounds: int = 1
    ) -> dict[str, Any]:
        ids: list[str] = []
        for _ in range(rounds):
            ids += harness.publish(plane, 5, key=1)
            plane.flush(harness.patience)
        plane.close(harness.patience)
        stats = plane.stats()
        return {
            "ids": ids,
            "arrived": [] if harness.under_test.outlives_process else harness.arrived(),
            "offered": stats.offered,
            "delivered": stats.delivered,
            "failed": stats.failed,
        }
