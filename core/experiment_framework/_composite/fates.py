"""Makes the fate of an event out of its fates at several backplanes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from experiment_framework.envelope import Record

if TYPE_CHECKING:
    from experiment_framework._delivery import Settlement

__all__ = ["Fates"]


class _Awaited(msgspec.Struct, gc=False, eq=False):
    """An event without a fate.

    Attributes:
        record: The event.
        missing: The members, as bits, that have not answered for it.
        takes_one: Whether one member that has it is enough.
        again: The next one with the same event id.
        on_disk: Those of the missing that keep it on their disk.
        is_told: Whether its fate is known, although not every member has answered.
    """

    record: Record
    missing: int
    takes_one: bool
    again: _Awaited | None = None
    on_disk: int = 0
    is_told: bool = False


class Fates:
    """Follows events by their ids until each member that counts has answered.

    An event that waits on a member's disk only is followed too, but no more than ``most_on_disk``
    of them: what is beyond that stays without a fate here, and has one in that member's accounts.

    Args:
        settlement: Told the fate of each event, once.
        most_on_disk: How many events are followed that wait on disks only.
    """

    def __init__(self, settlement: Settlement, most_on_disk: int) -> None:
        self._settlement = settlement
        self._most_on_disk: Final = most_on_disk
        self._lock = threading.RLock()
        self._awaited: dict[str, _Awaited] = {}
        self._on_disk: dict[int, _Awaited] = {}

    def expect(self, record: Record, members: int, *, takes_one: bool) -> None:
        """Follow an event until these members, as bits, have answered for it."""
        event_id = record.event_id
        awaited = _Awaited(record, members, takes_one)
        with self._lock:
            before = self._awaited.setdefault(event_id, awaited)
            if before is not awaited:
                awaited.again = before
                self._awaited[event_id] = awaited

    def delivered(self, member: int, records: Sequence[Record]) -> None:
        """Note that a member has these events."""
        done: list[Record] = []
        with self._lock:
            for record in records:
                awaited = self._awaited.get(record.event_id)
                if awaited is None:
                    continue
                if awaited.missing == member and awaited.again is None and not awaited.on_disk:
                    del self._awaited[record.event_id]  # as nearly all of them end
                    if not awaited.is_told:
                        done.append(awaited.record)
                    continue
                awaited = self._find(member, record)
                if awaited is None:
                    continue
                self._answered(awaited, member)
                if not awaited.is_told and (awaited.takes_one or not awaited.missing):
                    awaited.is_told = True
                    done.append(awaited.record)
        if done:
            self._settlement.delivered_all(done)

    def failed(self, member: int, record: Record, reason: str, *, retryable: bool) -> None:
        """Note that a member will never have this event."""
        with self._lock:
            awaited = self._find(member, record)
            if awaited is None:
                return
            self._answered(awaited, member)
            if awaited.is_told or (awaited.takes_one and awaited.missing):
                return
            awaited.is_told = True
        self._settlement.failed(awaited.record, reason, retryable=retryable)

    def kept(self, member: int, record: Record) -> None:
        """Note that a member has this event on its disk."""
        with self._lock:
            awaited = self._find(member, record)
            if awaited is not None:
                awaited.on_disk |= member
                self._bound(awaited)

    def _find(self, member: int, record: Record) -> _Awaited | None:
        """Give the oldest event with this id that the member has not answered for."""
        found = None
        awaited = self._awaited.get(record.event_id)
        while awaited is not None:
            if awaited.missing & member:
                found = awaited
            awaited = awaited.again
        return found

    def _answered(self, awaited: _Awaited, member: int) -> None:
        awaited.missing &= ~member
        awaited.on_disk &= ~member
        if awaited.missing:
            self._bound(awaited)
        else:
            self._forget(awaited)

    def _bound(self, awaited: _Awaited) -> None:
        """Follow no more than so many events that wait on disks only."""
        if awaited.on_disk == awaited.missing:
            self._on_disk[id(awaited)] = awaited
            if len(self._on_disk) > self._most_on_disk:
                self._forget(next(iter(self._on_disk.values())))

    def _forget(self, awaited: _Awaited) -> None:
        self._on_disk.pop(id(awaited), None)
        event_id = awaited.record.event_id
        newest = self._awaited[event_id]
        if newest is awaited:
            if awaited.again is None:
                del self._awaited[event_id]
            else:
                self._awaited[event_id] = awaited.again
            return
        while newest.again is not awaited:
            assert newest.again is not None  # noqa: S101  # it is in the chain
            newest = newest.again
        newest.again = awaited.again
