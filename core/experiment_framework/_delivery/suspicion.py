"""Finds the record with which no batch arrives: it must not hold up the others for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from experiment_framework._delivery.spool import Place
    from experiment_framework.envelope import Record

__all__ = ["Suspicion", "witness_among"]

STRIKES: Final = 5
"""How often a record fails alone, each time after another one arrived, before it is given up."""

FARTHEST: Final = 1024
"""How many records are looked through for one that arrives."""


class Suspicion:
    """The evidence against the oldest record on disk, which came back when it was sent alone.

    Alone, that says nothing: so does every record while the sink is down. After each failure
    another record is sent, the witness; only a failure after a witness has arrived counts.

    Attributes:
        place: Where the suspect lies; None where there is none.
        look_ahead: How many records to look at: the suspect is the first, the witness a later one.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Suspect nothing."""
        self.place: Place | None = None
        self.look_ahead = 2
        self._has_witness = False
        self._strikes = 0

    def begin(self, place: Place) -> None:
        """Suspect a record."""
        self.clear()
        self.place = place

    def failed(self) -> None:
        """Note that the suspect failed; it counts where a witness arrived just before."""
        if self._has_witness:
            self._strikes += 1
            self.look_ahead = 2

    def heard(self, has_arrived: bool) -> None:
        """Note whether the witness arrived; where it did not, another one may."""
        self._has_witness = has_arrived
        if not has_arrived:
            self.look_ahead = min(self.look_ahead * 2, FARTHEST)

    @property
    def is_proven(self) -> bool:
        """Whether the suspect failed often enough to be given up, and a witness arrived since."""
        return self._has_witness and self._strikes >= STRIKES


def witness_among(records: Sequence[Record]) -> int:
    """Pick the record to send out of turn, behind the first; 0 where there is no other.

    One that overtakes nothing of its own key, whatever the key is made of; the last, where all
    share one: it overtakes only where the sink comes back in just this moment.
    """
    seen: set[str | None] = {None}
    found = 0
    for index, record in enumerate(records):
        ids = {record.experiment_name, record.subject_id, record.tenant_id}
        if index and not ids & (seen - {None}):
            found = index
        seen |= ids
    return found or max(len(records) - 1, 0)
