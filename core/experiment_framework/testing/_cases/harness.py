"""What the tests of the suite do with a backplane, and how long they wait for it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Any, Final, NoReturn, TypeVar

import attrs

from experiment_framework._config import Config, load
from experiment_framework._registry import BackplanePlugin, Registry
from experiment_framework.dataplane import DataPlane
from experiment_framework.envelope import Envelope, decode
from experiment_framework.events import Event, Exposure
from experiment_framework.results import DeliveryReport, FlushResult, Stats
from experiment_framework.testing.under_test import BackplaneUnderTest

__all__ = ["Harness", "fail", "ledger_adds_up", "until"]

T = TypeVar("T")
_TYPE: Final = "under-test"
_LOOK_AGAIN: Final = 0.02
"""Seconds between two looks at what has to come true."""


def fail(text: str) -> NoReturn:
    """Fail the test with a sentence for the author of the backplane."""
    raise AssertionError(text)


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait until something is so; say whether it was, in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(_LOOK_AGAIN)
    return True


def ledger_adds_up(stats: Stats) -> bool:
    """Whether every event is accounted for."""
    return stats.offered + stats.recovered == (
        stats.refused
        + stats.disabled
        + stats.sampled_out
        + stats.dropped_total
        + stats.failed
        + stats.delivered
        + stats.pending
        + stats.spooled
    )


@attrs.define
class Harness:
    """Makes data planes over the backplane under test, and closes them.

    Attributes:
        under_test: What is tested.
        is_away: Whether the sink was taken away.
    """

    under_test: BackplaneUnderTest
    is_away: bool = False
    _registry: Registry = attrs.field(factory=Registry)
    _planes: list[DataPlane] = attrs.field(factory=list)
    _numbers: count[int] = attrs.field(factory=count)

    def __attrs_post_init__(self) -> None:
        self._registry.register_backplane(_TYPE, self.under_test.plugin)

    @property
    def patience(self) -> float:
        """Seconds that whatever has to happen may take."""
        return self.under_test.patience

    @property
    def plugin(self) -> BackplanePlugin:
        """The backplane, loaded and checked."""
        return self._registry.load_backplane(_TYPE)

    def config(
        self, changes: dict[str, Any] | None = None, without: str = "", **data_plane: Any
    ) -> dict[str, Any]:
        """Write a configuration: changed options, one left out, and keys under ``dataPlane``."""
        options = {**self.under_test.options, **(changes or {})}
        options.pop(without, None)
        backplane = {"type": _TYPE, "options": options}
        return {"experimentFramework": {"dataPlane": {"backplane": backplane, **data_plane}}}

    def load(self, changes: dict[str, Any] | None = None, without: str = "") -> Config:
        """Load a configuration with changed options, offline."""
        return load(self.config(changes, without), registry=self._registry)

    def plane(
        self,
        *,
        on_drop: Callable[[Any, str], object] | None = None,
        on_delivery: Callable[[DeliveryReport], object] | None = None,
        **data_plane: Any,
    ) -> DataPlane:
        """Open a data plane; it is closed at the end of the test, if not before."""
        settings = {"flushIntervalMs": 20, **data_plane}
        plane = DataPlane.from_config(
            self.config(**settings),
            registry=self._registry,
            on_drop=on_drop,
            on_delivery=on_delivery,
        )
        self._planes.append(plane)
        return plane

    def event(self, key: int = 0, **attributes: Any) -> Exposure:
        """Make an event; those of one key share experiment, subject and tenant."""
        return Exposure(
            experiment_name=f"experiment-{key}",
            variant_key="treatment",
            subject_id=f"subject-{key}",
            tenant_id=f"tenant-{key}",
            attributes={"number": next(self._numbers), **attributes},
        )

    def publish(self, plane: DataPlane, number: int, *, key: int = 0) -> list[str]:
        """Publish so many events of a key; give the ids of those that were accepted."""
        receipts = [plane.publish(self.event(key)) for _ in range(number)]
        return [each.event_id for each in receipts if each.status in {"accepted", "spooled"}]

    def flush(self, plane: DataPlane) -> FlushResult:
        """Flush a data plane, with patience."""
        return self.within(self.patience + 5, "flush", lambda: plane.flush(self.patience))

    def deliver(self, plane: DataPlane, events: Iterable[Event]) -> list[str]:
        """Publish events and see to it that all are delivered; give their ids."""
        receipts = [plane.publish(event) for event in events]
        result = self.flush(plane)
        others = [each for each in receipts if each.status != "accepted"]
        assert not others, f"publish did not accept all: {others[:3]}"
        assert result.failed + result.pending == 0, (
            f"not everything was delivered within {self.patience} s: {result}"
        )
        return [each.event_id for each in receipts]

    def arrived(self) -> list[str]:
        """Give the ids of everything that arrived, in the sink's order."""
        return [
            item if isinstance(item, str) else decode(item).event_id
            for item in self.under_test.arrived()
        ]

    def envelope(self, event_id: str) -> Envelope | None:
        """Give an envelope as it arrived; None where the sink keeps no envelopes."""
        for item in self.under_test.arrived():
            if isinstance(item, str):
                return None
            if (envelope := decode(item)).event_id == event_id:
                return envelope
        fail(f"the event {event_id} is not among what arrived")

    def expect(self, ids: Iterable[str], *, once: bool = True) -> list[str]:
        """Wait until these have arrived; give what has arrived of them, in the sink's order."""
        wanted = set(ids)
        until(lambda: wanted <= set(self.arrived()), self.patience)
        found = [each for each in self.arrived() if each in wanted]
        missing = wanted - set(found)
        assert not missing, (
            f"{len(missing)} of {len(wanted)} events were delivered, by what the backplane says, "
            f"and did not arrive; the first: {min(missing)}"
        )
        twice = [each for each, times in Counter(found).items() if times > 1]
        assert not (once and twice), (
            f"{len(twice)} of {len(wanted)} events arrived more than once while nothing failed; "
            f"the first: {twice[:1]}"
        )
        return found

    def within(self, seconds: float, what: str, work: Callable[[], T]) -> T:
        """Call something that has to return in time; what it raises is raised here."""
        outcome: list[tuple[T | None, BaseException | None]] = []

        def run() -> None:
            try:
                outcome.append((work(), None))
            except BaseException as error:  # noqa: BLE001  # raised again, in the test's thread
                outcome.append((None, error))

        thread = threading.Thread(target=run, name=f"conformance-{what}", daemon=True)
        thread.start()
        thread.join(seconds)
        if not outcome:
            fail(f"{what} did not return within {seconds:g} s")
        value, error = outcome[0]
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # what `work` gave

    def take_away(self) -> None:
        """Make the sink unreachable; `finish` brings it back."""
        assert self.under_test.take_away is not None
        self.is_away = True
        self.under_test.take_away()

    def bring_back(self) -> None:
        """Make the sink reachable again."""
        if self.is_away and self.under_test.bring_back is not None:
            self.under_test.bring_back()
            self.is_away = False

    def finish(self) -> None:
        """Bring the sink back and close what is open."""
        self.bring_back()
        for plane in self._planes:
            self.within(self.patience + 5, "close", partial(plane.close, 1.0))
