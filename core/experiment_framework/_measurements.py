"""The ledger and the health of data planes as named figures, for whatever shows figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from experiment_framework.dataplane import DataPlane
    from experiment_framework.health import Health
    from experiment_framework.results import Breakdown, Stats

__all__ = ["INSTRUMENTS", "Instrument", "Measurements", "Planes", "Point"]

FRESH: Final = 0.1
"""Seconds for which figures that were taken together are given out."""

Planes: TypeAlias = "DataPlane | Mapping[str, DataPlane]"
Attributes: TypeAlias = dict[str, str]
Kind: TypeAlias = Literal["counter", "gauge"]


class Instrument(NamedTuple):
    """One figure that is shown.

    Attributes:
        name: In the way of OpenTelemetry, parts divided by dots.
        kind: A ``counter`` never decreases.
        unit: As UCUM has it: ``1`` for a fraction, braces around what is counted; may be empty.
        help: What it says.
        attributes: The attributes that tell its values apart, beside that of the data plane.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    attributes: tuple[str, ...] = ()


class Point(NamedTuple):
    """One value of an instrument."""

    value: float
    attributes: Attributes


_P: Final = "experiment_framework."
_LEDGER: Final[Mapping[str, Instrument]] = {
    "offered": Instrument(f"{_P}events.offered", "counter", "{event}", "Events published."),
    "recovered": Instrument(
        f"{_P}events.recovered", "counter", "{event}", "Events adopted from earlier processes."
    ),
    "refused": Instrument(
        f"{_P}events.refused", "counter", "{event}", "Events with a mistake in them."
    ),
    "disabled": Instrument(
        f"{_P}events.disabled", "counter", "{event}", "Events of a type that is switched off."
    ),
    "sampled_out": Instrument(
        f"{_P}events.sampled_out", "counter", "{event}", "Events that sampling left out."
    ),
    "dropped": Instrument(
        f"{_P}events.dropped", "counter", "{event}", "Events not accepted.", ("reason",)
    ),
    "failed": Instrument(
        f"{_P}events.failed", "counter", "{event}", "Accepted events that will never arrive."
    ),
    "delivered": Instrument(
        f"{_P}events.delivered", "counter", "{event}", "Events known to be durable."
    ),
    "pending": Instrument(
        f"{_P}events.pending", "gauge", "{event}", "Accepted events without a fate yet."
    ),
    "spooled": Instrument(f"{_P}events.spooled", "gauge", "{event}", "Events on local disk."),
    "callback_errors": Instrument(
        f"{_P}callback.errors", "counter", "{call}", "Calls of the application's that raised."
    ),
    "callbacks_skipped": Instrument(
        f"{_P}callback.skipped", "counter", "{call}", "Calls of the application's left out."
    ),
}
_BY_VARIANT: Final = Instrument(
    f"{_P}variant.events",
    "counter",
    "{event}",
    "Events of each experiment and variant, of which a thousand are told apart.",
    ("event_type", "experiment", "variant", "fate"),
)
_STATUS: Final = Instrument(
    f"{_P}health.status", "gauge", "", "1 for the status it has, 0 for the others.", ("status",)
)
_DETAILS: Final[Mapping[str, Instrument]] = {
    "queueFill": Instrument(f"{_P}queue.fill", "gauge", "1", "How full the queue is, 0 to 1."),
    "oldestPendingAgeSeconds": Instrument(
        f"{_P}oldest_pending.age", "gauge", "s", "How long the oldest event has waited."
    ),
    "lastDeliveryAgeSeconds": Instrument(
        f"{_P}last_delivery.age", "gauge", "s", "How long ago the last event was delivered."
    ),
    "brokersReachable": Instrument(
        f"{_P}brokers.reachable", "gauge", "{broker}", "Brokers that answer."
    ),
    "missingTopics": Instrument(
        f"{_P}topics.missing", "gauge", "{topic}", "Topics that are missing."
    ),
    "isFatal": Instrument(
        f"{_P}client.fatal", "gauge", "", "1 while a client that gave up for good is replaced."
    ),
    "producersReplaced": Instrument(
        f"{_P}clients.replaced", "counter", "{client}", "Clients that gave up and were replaced."
    ),
    "oldestSpooledAgeSeconds": Instrument(
        f"{_P}oldest_spooled.age", "gauge", "s", "How long ago the oldest event on disk happened."
    ),
    "spoolBytes": Instrument(f"{_P}spool.size", "gauge", "By", "Size of the spool."),
    "spoolFill": Instrument(f"{_P}spool.fill", "gauge", "1", "How full the spool is, 0 to 1."),
    "spoolCorrupt": Instrument(
        f"{_P}spool.corrupt", "gauge", "{record}", "Records that could not be read back."
    ),
    "replayed": Instrument(
        f"{_P}spool.replayed", "counter", "{record}", "Records handed over from disk, repeats too."
    ),
    "deadLettersWritten": Instrument(
        f"{_P}dead_letters.written", "counter", "{record}", "Records in the file for dead letters."
    ),
    "deadLettersLost": Instrument(
        f"{_P}dead_letters.lost", "counter", "{record}", "Dead letters that nobody took."
    ),
    "breakerOpen": Instrument(
        f"{_P}breaker.open", "gauge", "", "1 while deliveries are not waited for."
    ),
    "takesEvents": Instrument(
        f"{_P}ready", "gauge", "", "1 while events are taken and have somewhere to go."
    ),
}
_STATUSES: Final = ("HEALTHY", "DEGRADED", "UNHEALTHY")

_ALWAYS: Final = (*_LEDGER.values(), _STATUS, *_DETAILS.values())
INSTRUMENTS: Final = (*_ALWAYS, _BY_VARIANT)
"""All that there are."""

_FATES: Final = ("offered", "dropped", "failed")


class Measurements:
    """Takes the figures of data planes.

    Args:
        planes: One data plane, or several by names, which become the attribute ``data_plane``.
        by_variant: Whether events are counted by experiment and variant, too.
        clock: Gives monotonic seconds.
    """

    def __init__(
        self, planes: Planes, *, by_variant: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.instruments = INSTRUMENTS if by_variant else _ALWAYS
        self.own_attributes = ("data_plane",) if isinstance(planes, Mapping) else ()
        self._planes: list[tuple[DataPlane, Attributes]] = (
            [(plane, {"data_plane": name}) for name, plane in planes.items()]
            if isinstance(planes, Mapping)
            else [(planes, {})]
        )
        self._by_variant = by_variant
        self._clock = clock
        self._taken: tuple[float, dict[Instrument, list[Point]]] = (-FRESH, {})

    def take(self) -> dict[Instrument, list[Point]]:
        """Take all figures now; an instrument that has no value is left out."""
        found: dict[Instrument, list[Point]] = {}
        for plane, own in self._planes:
            for instrument, point in self._of(plane):
                values = found.setdefault(instrument, [])
                values.append(Point(point.value, own | point.attributes))
        return found

    def recent(self, instrument: Instrument) -> list[Point]:
        """Give one figure out of a set that was taken at once, an instant ago at most.

        For what asks for one figure after the other: so they add up.
        """
        at, found = self._taken
        if self._clock() - at >= FRESH:
            found = self.take()
            self._taken = (self._clock(), found)
        return found.get(instrument, [])

    def _of(self, plane: DataPlane) -> Iterator[tuple[Instrument, Point]]:
        yield from _of_stats(plane.stats())
        if self._by_variant:
            yield from _of_breakdown(plane.breakdown())
        yield from _of_health(plane.health())


def _of_breakdown(breakdown: Iterable[Breakdown]) -> Iterator[tuple[Instrument, Point]]:
    for kind in breakdown:
        attributes = {
            "event_type": kind.event_type,
            "experiment": kind.experiment_name or "",
            "variant": kind.variant_key or "",
        }
        for fate in _FATES:
            yield _BY_VARIANT, Point(getattr(kind, fate), attributes | {"fate": fate})


def _of_stats(stats: Stats) -> Iterator[tuple[Instrument, Point]]:
    for name, instrument in _LEDGER.items():
        if name == "dropped":
            for reason, count in stats.dropped.items():
                yield instrument, Point(count, {"reason": reason})
        else:
            yield instrument, Point(getattr(stats, name), {})


def _of_health(health: Health) -> Iterator[tuple[Instrument, Point]]:
    for status in _STATUSES:
        yield _STATUS, Point(float(health.status == status), {"status": status})
    for key, instrument in _DETAILS.items():
        value: Any = health.details.get(key)
        if isinstance(value, list):
            value = len(value)
        if isinstance(value, int | float):
            yield instrument, Point(float(value), {})
