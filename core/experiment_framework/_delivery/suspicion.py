"""Finds the record with which no batch arrives: it must not hold up the others for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from experiment_framework._delivery.spool import Place

__all__ = ["Suspicion"]

STRIKES: Final = 5
"""How often a record fails alone, each time after another one arrived, before it is given up."""

FARTHEST: Final = 1024
"""How many records are looked through for one that arrives."""


class Suspicion:
    """The evidence against the oldest record on disk, which came back when it was sent alone.

    Alone, that says nothing: so does every record while the sink is down. Before each new try
    another record is sent, the witness; only a failure after a witness has arrived counts.

    Attributes:
        place: Where the suspect lies; None where there is none.
        look_ahead: How many records to look at: the suspect is the first, the witness the last.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Suspect nothing."""
        self.place: Place | None = None
        self.look_ahead = 2
        self._strikes = 0

    def begin(self, place: Place) -> None:
        """Suspect a record."""
        self.clear()
        self.place = place

    def miss(self) -> None:
        """Note that the witness did not arrive either: another one may."""
        self.look_ahead = min(self.look_ahead * 2, FARTHEST)

    def strike(self) -> None:
        """Note that the suspect failed where a witness arrived."""
        self._strikes += 1
        self.look_ahead = 2

    @property
    def is_proven(self) -> bool:
        """Whether the suspect failed often enough to be given up."""
        return self._strikes >= STRIKES
