"""What is accepted arrives, unchanged, once, and is counted so."""

from __future__ import annotations

from typing import Final

import pytest

from experiment_framework.dataplane import DataPlane
from experiment_framework.envelope import Envelope
from experiment_framework.events import (
    AnalysisSignal,
    Assignment,
    ErrorEvent,
    Event,
    Exposure,
    Outcome,
)
from experiment_framework.results import DeliveryReport
from experiment_framework.testing._cases.harness import Harness, ledger_adds_up, until

__all__ = ["DeliveryCases"]

_MANY: Final = 1000
_MEGABYTE: Final = 1024 * 1024
_TEXTS: Final = (
    "Ünïcödé, ελληνικά, русский, עברית, العربية, हिन्दी, 中文, 日本語, 한국어",
    "beyond the basic plane: 🧪🅰️🆎👩🏽‍🔬 𓀀",
    "line breaks: \n \r \r\n \u0085 \u2028 \u2029 and a tab \t",
    "quotes ' \" ` and backslashes \\ \\n %s {} $1 -- ; /* */",
    "\ufeffbegins with a byte order mark",
    "combining e\u0301 is not é, and \u202eright to left",
)


class DeliveryCases:
    """The sink is there and well."""

    def test_an_event_of_every_type_arrives(self, harness: Harness) -> None:
        plane = harness.plane()
        harness.expect(harness.deliver(plane, _one_of_each()))

    def test_an_envelope_arrives_as_it_was_published(self, harness: Harness) -> None:
        plane = harness.plane()
        sent = Envelope.around(
            harness.event(nested={"list": [1, 2.5, None, True], "empty": {}}),
            correlation_id="request-1",
            metadata={"source": "conformance"},
        )
        plane.publish_envelope(sent)
        harness.flush(plane)
        harness.expect([sent.event_id])
        found = harness.envelope(sent.event_id)
        if found is None:
            pytest.skip("the sink keeps no envelopes")
        assert found == sent

    @pytest.mark.parametrize("text", _TEXTS, ids=range(len(_TEXTS)))
    def test_text_in_any_script_arrives_as_it_is(self, harness: Harness, text: str) -> None:
        plane = harness.plane()
        event = Exposure(
            experiment_name=text, variant_key=text, subject_id=text, attributes={text: text}
        )
        (sent,) = harness.deliver(plane, [event])
        harness.expect([sent])
        found = harness.envelope(sent)
        if found is None:
            pytest.skip("the sink keeps no envelopes")
        assert isinstance(found.payload, Exposure)
        assert (found.payload.subject_id, found.payload.attributes) == (text, {text: text})

    def test_an_event_with_a_null_character_arrives_or_is_counted_as_failed(
        self, harness: Harness
    ) -> None:
        plane = harness.plane()
        receipt = plane.publish(harness.event(text="null \x00 character"))
        harness.flush(plane)
        _expect_honest(harness, plane, [receipt.event_id])

    def test_an_event_of_a_megabyte_arrives_or_is_refused_and_holds_up_no_other(
        self, harness: Harness
    ) -> None:
        plane = harness.plane()
        before = harness.publish(plane, 3)
        large = plane.publish(harness.event(padding="x" * _MEGABYTE))
        after = harness.publish(plane, 3)
        result = harness.flush(plane)
        harness.expect([*before, *after])
        assert not result.pending, f"it has no fate after {harness.patience} s: {result}"
        if large.status == "accepted" and result.delivered == len(before) + len(after) + 1:
            harness.expect([large.event_id])
        else:
            assert result.failed + result.dropped == 1, result

    def test_a_thousand_events_arrive_each_once(self, harness: Harness) -> None:
        plane = harness.plane()
        events = [harness.event(key=number % 7) for number in range(_MANY)]
        harness.expect(harness.deliver(plane, events))

    def test_an_event_keeps_the_id_that_the_application_gave_it(self, harness: Harness) -> None:
        plane = harness.plane()
        receipt = plane.publish(harness.event(), event_id="chosen-by-the-application/1")
        harness.flush(plane)
        assert receipt.event_id == "chosen-by-the-application/1"
        harness.expect([receipt.event_id])

    def test_an_event_that_is_published_again_has_the_same_id(self, harness: Harness) -> None:
        plane = harness.plane()
        envelope = Envelope.around(harness.event())
        for _ in range(2):
            plane.publish_envelope(envelope)
            harness.flush(plane)
        assert plane.stats().delivered == 2, (
            f"a repeat is delivered, whether the sink removes it or not: {plane.stats()}"
        )
        found = harness.expect([envelope.event_id], once=False)
        assert 1 <= len(found) <= 2

    def test_what_is_said_to_be_delivered_is_there_at_once(self, harness: Harness) -> None:
        plane = harness.plane()
        receipt = plane.publish_and_wait(harness.event(), harness.patience)
        assert receipt.status == "delivered", receipt
        assert receipt.event_id in harness.arrived(), (
            "the event was reported as delivered before it was where `arrived` looks"
        )

    def test_every_accepted_event_has_one_fate(self, harness: Harness) -> None:
        told: list[DeliveryReport] = []
        plane = harness.plane(on_delivery=told.append)
        accepted = harness.publish(plane, 200)
        harness.flush(plane)
        until(lambda: len(told) >= len(accepted), harness.patience)
        harness.within(harness.patience + 5, "close", plane.close)
        ids = [each.record.event_id for each in told]
        assert sorted(ids) == sorted(accepted), (
            f"{len(accepted)} events were accepted, and {len(ids)} fates were told "
            f"of {len(set(ids))} events"
        )

    def test_the_ledger_adds_up_and_agrees_with_what_arrived(self, harness: Harness) -> None:
        plane = harness.plane()
        accepted = harness.publish(plane, 300)
        harness.within(harness.patience + 5, "close", lambda: plane.close(harness.patience))
        _expect_honest(harness, plane, accepted)

    def test_events_beyond_the_queue_are_dropped_and_counted(self, harness: Harness) -> None:
        plane = harness.plane(maxQueueSize=10)
        accepted = harness.publish(plane, _MANY)
        harness.flush(plane)
        stats = plane.stats()
        assert stats.offered == len(accepted) + stats.dropped_total, stats
        _expect_honest(harness, plane, accepted)


def _one_of_each() -> list[Event]:
    name, subject = "checkout", "user-1"
    return [
        Exposure(experiment_name=name, variant_key="b", subject_id=subject),
        Assignment(
            experiment_name=name, subject_id=subject, new_variant_key="b", change_reason="first"
        ),
        Outcome(
            experiment_name=name,
            subject_id=subject,
            metric_name="revenue",
            outcome_type="Continuous",
            value=12.5,
        ),
        AnalysisSignal(experiment_name=name, signal_type="Custom", message="look"),
        ErrorEvent(error_type="Timeout", message="no answer"),
    ]


def _expect_honest(harness: Harness, plane: DataPlane, ids: list[str]) -> None:
    """Hold the counts against what arrived."""
    stats = plane.stats()
    assert ledger_adds_up(stats), f"the ledger does not add up: {stats}"
    assert not stats.pending, f"{stats.pending} events have no fate: {stats}"
    wanted = set(ids)
    until(lambda: len(wanted & set(harness.arrived())) >= stats.delivered, harness.patience)
    arrived = wanted & set(harness.arrived())
    assert len(arrived) == stats.delivered, (
        f"{stats.delivered} events count as delivered, {len(arrived)} arrived: {stats}"
    )
