"""Flush and close keep to their time, may be repeated, and leave the accounts in order."""

from __future__ import annotations

import threading
from typing import Final

from experiment_framework.testing._cases.harness import Harness, ledger_adds_up, until

__all__ = ["LifetimeCases"]

_GRACE: Final = 2.0
"""Seconds beyond a time budget that a busy machine may take."""


class LifetimeCases:
    """With the sink there and well."""

    def test_a_data_plane_that_was_never_used_closes(self, harness: Harness) -> None:
        plane = harness.plane()
        result = harness.within(_GRACE, "close", lambda: plane.close(1.0))
        assert result.is_complete, result

    def test_a_flush_with_nothing_to_do_returns(self, harness: Harness) -> None:
        plane = harness.plane()
        assert harness.within(1.0 + _GRACE, "flush", lambda: plane.flush(1.0)).is_complete

    def test_a_flush_without_any_time_returns(self, harness: Harness) -> None:
        plane = harness.plane()
        harness.publish(plane, 50)
        harness.within(_GRACE, "flush", lambda: plane.flush(0.0))

    def test_a_flush_need_not_wait_for_a_batch_to_fill(self, harness: Harness) -> None:
        plane = harness.plane(flushIntervalMs=3_600_000)
        accepted = harness.publish(plane, 3)
        result = harness.flush(plane)
        assert result.is_complete, result
        harness.expect(accepted)

    def test_close_delivers_what_waits(self, harness: Harness) -> None:
        plane = harness.plane(flushIntervalMs=3_600_000)
        accepted = harness.publish(plane, 100)
        result = harness.within(
            harness.patience + _GRACE, "close", lambda: plane.close(harness.patience)
        )
        assert result.is_complete, result
        harness.expect(accepted)

    def test_to_close_twice_is_to_ask_for_the_result_again(self, harness: Harness) -> None:
        plane = harness.plane()
        harness.publish(plane, 5)
        first = harness.within(harness.patience + _GRACE, "close", plane.close)
        second = harness.within(_GRACE, "the second close", plane.close)
        assert second == first

    def test_what_is_published_after_close_is_dropped(self, harness: Harness) -> None:
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        harness.within(harness.patience + _GRACE, "close", plane.close)
        receipt = plane.publish(harness.event())
        assert (receipt.status, receipt.reason) == ("dropped", "closed")
        harness.within(_GRACE, "flush after close", lambda: plane.flush(1.0))
        assert receipt.event_id not in harness.arrived()

    def test_a_second_data_plane_adds_to_what_the_first_one_left(self, harness: Harness) -> None:
        ids: list[str] = []
        for _ in range(2):
            plane = harness.plane()
            ids += harness.deliver(plane, [harness.event() for _ in range(5)])
            harness.within(harness.patience + _GRACE, "close", plane.close)
        harness.expect(ids)

    def test_two_data_planes_work_side_by_side(self, harness: Harness) -> None:
        first, second = harness.plane(), harness.plane()
        ids = harness.publish(first, 20, key=1) + harness.publish(second, 20, key=2)
        harness.flush(first)
        harness.flush(second)
        harness.expect(ids)

    def test_to_close_while_others_publish_loses_nothing_silently(self, harness: Harness) -> None:
        plane = harness.plane()
        accepted: list[str] = []
        is_over = threading.Event()

        def work(key: int) -> None:
            while not is_over.is_set():
                found = harness.publish(plane, 1, key=key)
                if not found:
                    return
                accepted.extend(found)

        threads = [threading.Thread(target=work, args=(key,)) for key in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: len(accepted) > 100, harness.patience)
        harness.within(harness.patience + _GRACE, "close", lambda: plane.close(harness.patience))
        is_over.set()
        for thread in threads:
            thread.join()
        stats = plane.stats()
        assert ledger_adds_up(stats), f"the ledger does not add up: {stats}"
        assert len(accepted) == stats.delivered + stats.failed + stats.pending, (
            f"{len(accepted)} events were accepted, of which the ledger knows: {stats}"
        )
        arrived = set(accepted) & set(harness.arrived())
        assert len(arrived) >= stats.delivered, (
            f"{stats.delivered} events count as delivered, {len(arrived)} arrived"
        )
