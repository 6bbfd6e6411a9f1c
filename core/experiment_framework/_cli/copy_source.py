"""What a copy reads."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

if TYPE_CHECKING:
    from experiment_framework._cli.copy_progress import Mark
    from experiment_framework.dataplane import DataPlane
    from experiment_framework.plugin.backplane import Query, Stored

__all__ = ["CopySource"]

_FIRST_IDLE: Final = 1.0
_LONGEST_IDLE: Final = 30.0
"""Seconds without a record after which what was read is settled, while following."""


class CopySource:
    """Reads what a query asks for from where a mark says.

    Args:
        plane: Has the backplane that is read.
        query: Which events.
        mark: Where to begin; whoever takes the records moves it on.
    """

    def __init__(self, plane: DataPlane, query: Query, mark: Mark) -> None:
        self._plane = plane
        self._query = query
        self._mark = mark

    def records(self, *, follow: bool) -> Generator[Stored | None]:
        """Give what is there, and what comes where it follows; None whenever nothing comes."""
        yield from self._read(self._query)
        idle = _FIRST_IDLE
        while follow:
            yield None
            # Without positions each new read would have to look for the place again.
            timeout = None if self._mark.place else idle
            idle = min(2 * idle, _LONGEST_IDLE)
            for stored in self._read(replace(self._query, follow=True, idle_timeout=timeout)):
                yield stored
                idle = _FIRST_IDLE

    def _read(self, query: Query) -> Iterator[Stored]:
        place = self._mark.place
        if self._mark.positions or place is None:
            yield from self._plane.read(replace(query, after=dict(self._mark.positions) or None))
            return
        is_beyond = False
        for stored in self._plane.read(query):
            if is_beyond:
                yield stored
            is_beyond = is_beyond or stored.place == place
        if not is_beyond:  # it is gone: rather everything again than too little
            yield from self._plane.read(query)
