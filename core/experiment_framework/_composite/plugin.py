"""The backplane that hands each event to several others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast

import msgspec

from experiment_framework._composite.fates import Fates
from experiment_framework._composite.joined_health import joined_health
from experiment_framework._composite.lane import Lane
from experiment_framework._composite.members import check_members, hooks_of
from experiment_framework._composite.options import (
    CompositeOptions,
    MemberOptions,
    check_composite,
)
from experiment_framework._delivery import Settlement, ThrottledLog
from experiment_framework._delivery.fence import read_backplane
from experiment_framework._problems import Problem
from experiment_framework._registry import Hooks
from experiment_framework.envelope import Record
from experiment_framework.errors import ExperimentError, UnsupportedError
from experiment_framework.health import Health
from experiment_framework.plugin import Backplane, Provisioned, Query, Step, Stored
from experiment_framework.results import Stats

__all__ = ["CompositeBackplane"]

SLICE: Final = 0.1
"""Seconds for which one member is waited for before the others have their turn."""

PATIENCE: Final = 1.0
"""Longest time in seconds that a flush waits for members that are not required."""


class Route(NamedTuple):
    """Where the records of one kind go.

    Attributes:
        lanes: The members that get them.
        decisive: Those of them, as bits, that decide their fate.
        takes_one: Whether it is enough that one of these has them.
    """

    lanes: Sequence[Lane]
    decisive: int
    takes_one: bool

    @classmethod
    def of(cls, lanes: Sequence[Lane]) -> Route:
        """Make the route to some members."""
        required = [lane for lane in lanes if lane.is_required]
        return cls(lanes, sum(lane.bit for lane in required or lanes), not required)


class CompositeBackplane(Backplane[CompositeOptions]):
    """Hands each event to several backplanes, each at its own pace.

    Every member has its own queue, thread, breaker, failure mode, disk and accounts: one that
    fails or stalls delays none of the others. An event is delivered when all required members that
    it is meant for have it, and failed when one of those has given it up. Where only others are
    meant to have it, one that does is enough.
    """

    def __init__(self, options: CompositeOptions) -> None:
        super().__init__(options)
        self._log = ThrottledLog()
        self._lanes: list[Lane] = []
        self._routes: dict[str, Route] = {}
        self._unopened: dict[str, str] = {}
        self._hooks: dict[str, Hooks] = {}

    def check(self, options: CompositeOptions) -> Iterator[Problem]:
        """Find members that contradict each other."""
        yield from check_composite(options)
        yield from check_members(options)

    def client_settings(self, options: CompositeOptions) -> Mapping[str, str]:
        """Say what the clients of the members are given, each name after that of its member."""
        settings: dict[str, str] = {}
        for name, member in options.members.items():
            hooks = hooks_of(member)
            limits = member.max_queue_size, member.max_queue_bytes
            given = hooks.client_settings(hooks.options, *limits)
            settings |= {f"{name}: {key}": value for key, value in given.items()}
        return settings

    def steps(self) -> Sequence[Step[Any]]:
        """Give the steps that the members need; every event passes them, whoever gets it."""
        found: list[Step[Any]] = []
        for name, member in self.options.members.items():
            with suppress(ExperimentError):  # what cannot be made says so when it is opened
                found += self._hooks_of(name, member).steps()
        return found

    def open(self) -> None:
        """Open all members.

        Raises:
            ExperimentError: A required one cannot be opened.
        """
        self._fates = Fates(self._settlement(), self.context.max_queue_size)
        try:
            for place, (name, member) in enumerate(self.options.members.items()):
                self._open_member(name, member, 1 << place)
        except BaseException:
            self.close(0.0)
            raise

    def publish(self, record: Record) -> None:
        """Hand a record to the members that are meant to have it."""
        route = self._routes.get(record.event_type) or self._route(record)
        if not route.lanes:
            self.context.failed(record, "no member takes it")
            return
        self._fates.expect(record, route.decisive, takes_one=route.takes_one)
        for lane in route.lanes:
            lane.give(record)

    def flush(self, timeout: float) -> bool:
        """Wait until the members have what they were given; not long for those not required."""
        began = time.monotonic()
        deadline, patience = began + timeout, began + min(timeout, PATIENCE)
        waiting = list(self._lanes)
        while True:
            waiting = [lane for lane in waiting if not lane.flush(_slice(deadline))]
            is_done = not any(lane.is_required for lane in waiting)
            ends = patience if is_done else deadline
            if not waiting or time.monotonic() >= ends:
                return is_done

    def health(self) -> Health:
        """Join the health of all members; what is not required degrades at most."""
        return joined_health(self._lanes, self._unopened)

    def members(self) -> Mapping[str, Stats]:
        """Give the accounts of each member."""
        return {lane.name: lane.delivery.stats() for lane in self._lanes}

    def close(self, timeout: float) -> None:
        """Close all members within one budget: none takes time from another that has work left."""
        deadline = time.monotonic() + timeout
        waiting = list(self._lanes)
        for lane in waiting:
            lane.delivery.handover.is_closed = True
        while waiting:
            for lane in list(waiting):
                if lane.flush(_slice(deadline)) or time.monotonic() >= deadline:
                    waiting.remove(lane)
                    lane.delivery.close(max(0.0, deadline - time.monotonic()))

    def provision(self) -> Iterable[Provisioned]:
        """Create what the members need."""
        able = [(lane.name, lane.hooks.provision) for lane in self._lanes if lane.hooks.provision]
        return [
            msgspec.structs.replace(each, name=f"{name}: {each.name}")
            for name, provision in able
            for each in _provisioned(name, provision)
        ]

    def read(self, query: Query) -> Iterator[Stored]:
        """Read back what one member keeps: the one that ``readFrom`` names, or the first able one.

        Raises:
            UnsupportedError: It cannot, or none can.
        """
        wanted = self.options.read_from
        for lane in self._lanes:
            if wanted in (None, lane.name) and lane.hooks.read is not None:
                return read_backplane(lane.hooks, query)
        who = f"the member {wanted}" if wanted else "any member"
        raise UnsupportedError(f"the events of {who} cannot be read back")

    def after_fork(self) -> None:
        """Let all members start clean in a forked child."""
        self._fates = Fates(self._settlement(), self.context.max_queue_size)
        for lane in self._lanes:
            lane.after_fork(self._fates)

    def _route(self, record: Record) -> Route:
        """Find the members for a record; by its type alone where no experiments are named."""
        route = Route.of([lane for lane in self._lanes if lane.takes(record)])
        if not any(lane.asks_for_experiments for lane in self._lanes):
            self._routes[record.event_type] = route
        return route

    def _settlement(self) -> Settlement:
        # Only a data plane of core opens a backplane, and this is the context that it has.
        return cast("Settlement", self.context)

    def _hooks_of(self, name: str, member: MemberOptions) -> Hooks:
        """Make a member, once.

        Raises:
            ExperimentError: It cannot be made.
        """
        if name not in self._hooks:
            self._hooks[name] = hooks_of(member)
        return self._hooks[name]

    def _open_member(self, name: str, member: MemberOptions, bit: int) -> None:
        try:
            lane = Lane(
                name, bit, self._hooks_of(name, member), member, fates=self._fates, log=self._log
            )
        except ExperimentError as error:
            if member.required:
                error.add_note(f"it is the member {name} of the composite backplane")
                raise
            self._unopened[name] = str(error)
            self._log.report("open", f"the member {name} gets nothing: {error}")
        else:
            self._lanes.append(lane)


def _slice(deadline: float) -> float:
    return max(0.0, min(deadline - time.monotonic(), SLICE))


def _provisioned(
    name: str, provision: Callable[[], Iterable[Provisioned]]
) -> Iterable[Provisioned]:
    """Let one member create what it needs; the others have their turn whatever it raises."""
    try:
        return list(provision())
    except Exception as error:  # noqa: BLE001  # a plugin may raise anything
        return [Provisioned(name=name, action="failed", detail=f"{type(error).__name__}: {error}")]
