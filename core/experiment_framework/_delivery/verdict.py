"""The verdict on one data plane: what the way out says, and what core knows besides."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from experiment_framework._duration import in_words
from experiment_framework.health import Health

if TYPE_CHECKING:
    from experiment_framework._delivery.breaker import Breaker
    from experiment_framework._delivery.callbacks import Callbacks
    from experiment_framework._delivery.dead_letters import DeadLetters
    from experiment_framework._delivery.outlet import Outlet
    from experiment_framework._delivery.spooling import Spooling

__all__ = ["Verdict"]

CROWDED: Final = 0.8
"""The fill of the spool from which on somebody should look."""

FULL: Final = 0.99
"""The fill from which on the spool is full: it never gets to 1, a record does not fit before."""


class Verdict:
    """Judges from figures at hand: it takes no lock, and touches no disk.

    Args:
        outlet: The way out.
        callbacks: Its count of errors is shown.
        breaker: Whether a wait for delivery is worth it.
        dead_letters: Its counts are shown, where there is a place for dead letters.
        spooling: What waits on disk, where a spool is declared.
        drops_oldest: Whether a full spool makes room for new records.
        keeps_all: Whether the spool keeps the events of every type.
    """

    def __init__(
        self,
        outlet: Outlet,
        callbacks: Callbacks,
        breaker: Breaker,
        *,
        dead_letters: DeadLetters | None,
        spooling: Spooling | None,
        drops_oldest: bool,
        keeps_all: bool,
    ) -> None:
        self._outlet = outlet
        self._callbacks = callbacks
        self._breaker = breaker
        self._dead_letters = dead_letters
        self._spooling = spooling
        self._drops_oldest = drops_oldest
        self._keeps_all = keeps_all

    def health(self) -> Health:
        """Join everything; the worst reason decides."""
        found = self._outlet.health()
        details = found.details | self._own_details()
        unhealthy = found.reasons if found.status == "UNHEALTHY" else ()
        degraded = found.reasons if found.status == "DEGRADED" else ()
        takes_events = not unhealthy and details.get("queueFill", 0) < 1
        if self._spooling is not None:
            trouble = self._spooling.trouble()
            disk = self._spooling.details()
            details |= disk | {"spoolTrouble": trouble}
            refusal = trouble or self._fullness(disk["spoolFill"])
            if self._spooling.writes_ahead:
                takes_events = refusal is None
                unhealthy += (refusal,) if refusal else ()
            else:
                takes_events = takes_events or (refusal is None and self._keeps_all)
                degraded += (refusal,) if refusal else ()
            degraded += tuple(self._waiting(disk))
        if details["breakerOpen"]:
            degraded += ("deliveries are not waited for: the last wait was in vain",)
        details["takesEvents"] = takes_events
        return Health.judge(unhealthy=unhealthy, degraded=degraded, details=details)

    def _own_details(self) -> dict[str, Any]:
        details: dict[str, Any] = {
            "processId": os.getpid(),
            "callbackErrors": self._callbacks.errors,
            "breakerOpen": self._breaker.is_open,
        }
        if (letters := self._dead_letters) is not None:
            details |= {"deadLettersWritten": letters.written, "deadLettersLost": letters.lost}
        return details

    def _fullness(self, fill: float) -> str | None:
        """Say why the spool takes no new records."""
        if fill < FULL or self._drops_oldest:
            return None
        return "the spool is full: new events are dropped"

    def _waiting(self, disk: dict[str, float]) -> Iterator[str]:
        fill, age = disk["spoolFill"], disk["oldestSpooledAgeSeconds"]
        if disk["spooled"]:
            since = f", the oldest for {in_words(age)}" if age else ""
            yield f"{disk['spooled']} records wait on disk{since}"
        if fill >= FULL and self._drops_oldest:
            yield "the spool is full: those that have waited longest are dropped"
        elif CROWDED <= fill < FULL:
            yield f"the spool is {fill:.0%} full"
