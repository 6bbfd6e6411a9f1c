"""Where the records lie on disk that are with the backplane."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiment_framework._delivery.spool import Place
    from experiment_framework.envelope import Record

__all__ = ["UnderWay"]


class UnderWay:
    """Places by event id; called with the spool's lock held.

    Ids are not unique, as callers may give them: records of one id are taken to be settled in the
    order in which they were handed over.
    """

    def __init__(self) -> None:
        self._places: dict[str, Place | list[Place]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Count the records."""
        return self._count

    def add(self, record: Record, place: Place) -> None:
        """Remember where a record lies."""
        known = self._places.setdefault(record.event_id, place)
        self._count += 1
        if known is place:
            return
        if isinstance(known, list):
            known.append(place)
        else:
            self._places[record.event_id] = [known, place]

    def pop(self, record: Record) -> Place | None:
        """Forget a record and give its place; None where it is not on disk."""
        place = self._places.pop(record.event_id, None)
        if place is None:
            return None
        self._count -= 1
        if isinstance(place, list):
            place, *rest = place
            self._places[record.event_id] = rest if len(rest) > 1 else rest[0]
        return place

    def has(self, record: Record, place: Place) -> bool:
        """Whether this very record has no fate yet."""
        found = self._places.get(record.event_id)
        return found is place or (isinstance(found, list) and place in found)

    def clear(self) -> list[Place]:
        """Forget all records and give their places."""
        found = self._places.values()
        places = [each for one in found for each in (one if isinstance(one, list) else (one,))]
        self._places = {}
        self._count = 0
        return places
