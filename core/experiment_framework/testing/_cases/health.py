"""Health is honest, quick, and of plain values."""

from __future__ import annotations

from typing import Final

import msgspec

from experiment_framework.testing._cases.harness import Harness, until

__all__ = ["HealthCases"]

_QUESTIONS: Final = 50
_SECONDS: Final = 1.0
"""In which all of them have to be answered: they are answered from figures at hand."""


class HealthCases:
    """Asked of the data plane, as an application does."""

    def test_it_is_healthy_while_the_sink_is_there(self, harness: Harness) -> None:
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        assert until(lambda: plane.health().is_healthy, harness.patience), plane.health()

    def test_health_is_json(self, harness: Harness) -> None:
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        msgspec.json.encode(plane.health())

    def test_health_answers_at_once(self, harness: Harness) -> None:
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        harness.within(_SECONDS, "health", lambda: [plane.health() for _ in range(_QUESTIONS)])

    def test_health_can_be_asked_after_close(self, harness: Harness) -> None:
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        harness.within(harness.patience + 5, "close", plane.close)
        ask = plane.hooks.health
        if ask is not None:
            harness.within(_SECONDS, "health after close", ask)
        assert not plane.health().is_healthy

    def test_it_is_not_healthy_while_the_sink_is_away(self, harness: Harness, outage: None) -> None:
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        harness.take_away()
        harness.publish(plane, 3)
        assert until(lambda: not plane.health().is_healthy, harness.patience), (
            f"the sink is away, and health says {plane.health().status} for {harness.patience} s"
        )
        assert plane.health().reasons, "a status that is not HEALTHY has reasons"

    def test_it_is_not_unhealthy_any_more_once_the_sink_is_back(
        self, harness: Harness, outage: None
    ) -> None:
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        harness.take_away()
        harness.publish(plane, 1)
        until(lambda: not plane.health().is_healthy, harness.patience)
        harness.bring_back()

        def is_well() -> bool:
            harness.publish(plane, 1)
            plane.flush(0.5)
            return plane.health().status != "UNHEALTHY"  # events that were lost may degrade it

        assert until(is_well, 2 * harness.patience), (
            f"the sink is back, events were published, and health says {plane.health()}"
        )

    def test_health_answers_at_once_while_the_sink_is_away(
        self, harness: Harness, outage: None
    ) -> None:
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        harness.take_away()
        harness.publish(plane, 3)
        harness.within(
            _SECONDS,
            "health while the sink is away",
            lambda: [plane.health() for _ in range(_QUESTIONS)],
        )
