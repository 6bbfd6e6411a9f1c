"""The sink goes away and comes back; nobody waits for it, and nothing is lost silently."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from experiment_framework.errors import ExperimentError
from experiment_framework.results import DeliveryReport
from experiment_framework.testing._cases.harness import Harness, fail, ledger_adds_up, until
from experiment_framework.testing._cases.order import expect_order

__all__ = ["OutageCases"]

_GRACE: Final = 2.0
"""Seconds beyond a time budget that a busy machine may take."""


class OutageCases:
    """What needs ``take_away`` and ``bring_back``, but for the first."""

    def test_publish_does_not_wait_for_the_sink(self, harness: Harness) -> None:
        plane = harness.plane()
        accepted = harness.within(
            _GRACE, "publish of 1000 events", lambda: harness.publish(plane, 1000)
        )
        harness.flush(plane)
        harness.expect(accepted)

    def test_publish_does_not_wait_while_the_sink_is_away(
        self, harness: Harness, outage: None
    ) -> None:
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        harness.take_away()
        harness.within(
            _GRACE,
            "publish of 1000 events while the sink is away",
            lambda: harness.publish(plane, 1000),
        )

    def test_a_data_plane_opens_or_says_why_not_while_the_sink_is_away(
        self, harness: Harness, outage: None
    ) -> None:
        harness.take_away()
        try:
            plane = harness.within(harness.patience, "open while the sink is away", harness.plane)
        except ExperimentError as error:
            if not str(error).strip():
                fail(f"a {type(error).__name__} without a word, when it was opened")
            return
        harness.publish(plane, 3)
        harness.within(1.0 + _GRACE, "close while the sink is away", lambda: plane.close(1.0))

    def test_flush_keeps_to_its_time_while_the_sink_is_away(
        self, harness: Harness, outage: None
    ) -> None:
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        harness.take_away()
        harness.publish(plane, 10)
        result = harness.within(
            0.5 + _GRACE, "a flush of 0.5 s while the sink is away", lambda: plane.flush(0.5)
        )
        assert result.pending + result.failed == 10, f"the sink is away, and a flush says {result}"

    def test_close_keeps_to_its_time_while_the_sink_is_away(
        self, harness: Harness, outage: None
    ) -> None:
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        harness.take_away()
        accepted = harness.publish(plane, 10)
        harness.within(
            0.5 + _GRACE, "a close of 0.5 s while the sink is away", lambda: plane.close(0.5)
        )
        stats = plane.stats()
        assert ledger_adds_up(stats), f"the ledger does not add up: {stats}"
        assert stats.failed + stats.pending == len(accepted), (
            f"{len(accepted)} events could not be delivered, and the ledger says {stats}"
        )

    def test_nothing_is_called_delivered_that_did_not_arrive(
        self, harness: Harness, outage: None
    ) -> None:
        told: list[DeliveryReport] = []
        plane = harness.plane(on_delivery=told.append)
        harness.deliver(plane, [harness.event()])
        harness.take_away()
        harness.publish(plane, 10)
        plane.flush(1.0)
        harness.bring_back()
        harness.publish(plane, 10)
        harness.within(harness.patience + _GRACE, "close", lambda: plane.close(harness.patience))
        delivered = {each.record.event_id for each in told if each.status == "delivered"}
        until(lambda: delivered <= set(harness.arrived()), harness.patience)
        lost = delivered - set(harness.arrived())
        assert not lost, f"{len(lost)} events were reported as delivered and did not arrive"

    def test_events_arrive_again_once_the_sink_is_back(
        self, harness: Harness, outage: None
    ) -> None:
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        harness.take_away()
        harness.publish(plane, 3)
        plane.flush(0.5)
        harness.bring_back()

        def one_arrives() -> bool:
            (receipt,) = (plane.publish_and_wait(harness.event(), 1.0) for _ in range(1))
            return receipt.status == "delivered" and receipt.event_id in harness.arrived()

        if not until(one_arrives, 2 * harness.patience):
            fail(f"the sink is back for {2 * harness.patience:g} s, and nothing arrives")

    def test_spooled_events_arrive_in_order_with_their_ids_once_the_sink_is_back(
        self, harness: Harness, outage: None, tmp_path: Path
    ) -> None:
        plane = harness.plane(
            failureMode="spool", spool={"directory": str(tmp_path / "conformance-spool")}
        )
        published = {key: harness.publish(plane, 5, key=key) for key in range(3)}
        plane.flush(harness.patience)
        harness.take_away()
        for key in published:
            published[key] += harness.publish(plane, 10, key=key)
        plane.flush(1.0)
        harness.bring_back()
        for key in published:
            published[key] += harness.publish(plane, 5, key=key)

        def all_is_delivered() -> bool:
            return plane.flush(0.5).is_complete

        assert until(all_is_delivered, 3 * harness.patience), (
            f"the sink is back, and after {3 * harness.patience:g} s: {plane.stats()}"
        )
        expect_order(harness, published, once=False)

    def test_what_a_data_plane_left_on_disk_arrives_from_the_next_one(
        self, harness: Harness, outage: None, tmp_path: Path
    ) -> None:
        spool = {"directory": str(tmp_path / "conformance-spool")}
        plane = harness.plane(failureMode="spool", spool=spool)
        harness.take_away()
        accepted = harness.publish(plane, 10)
        result = harness.within(1.0 + _GRACE, "close", lambda: plane.close(1.0))
        assert result.spooled == len(accepted), (
            f"{len(accepted)} events should wait on disk after close: {result}"
        )
        harness.bring_back()
        after = harness.plane(failureMode="spool", spool=spool)
        assert until(lambda: after.flush(0.5).is_complete, 3 * harness.patience), after.stats()
        harness.expect(accepted, once=False)
