"""Gives records to the way out, and decides what happens when it has no room."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

from experiment_framework._interrupts import interrupt_behind
from experiment_framework.errors import (
    DeliveryError,
    ExperimentError,
    QueueFullError,
    RecordTooLargeError,
)
from experiment_framework.results import Receipt

if TYPE_CHECKING:
    from experiment_framework._delivery.outlet import Outlet
    from experiment_framework._delivery.settlement import Settlement
    from experiment_framework._delivery.spooling import Spooling
    from experiment_framework._ledger import Cell
    from experiment_framework.dataplane_options import FailureMode
    from experiment_framework.envelope import Record

__all__ = ["Handover"]


class Handover:
    """Hands records to an outlet; drops, waits or spools where there is no room.

    Args:
        outlet: The way out.
        settlement: Where drops are counted and told.
        mode_of: Says what happens without room to events of a type.
        block_timeout: Seconds to wait for room in mode ``block``.
        spooling: The disk, where one is declared.
    """

    def __init__(
        self,
        outlet: Outlet,
        settlement: Settlement,
        *,
        mode_of: Callable[[str], FailureMode],
        block_timeout: float,
        spooling: Spooling | None = None,
    ) -> None:
        self.is_closed = False
        self._take = outlet.publish
        self._settlement = settlement
        self._mode_of = mode_of
        self._block_timeout = block_timeout
        self._spooling = spooling
        self._first_try: Callable[[Cell, Record], Receipt | None] = self._try
        if spooling is not None:
            self._first_try = self._write_ahead if spooling.writes_ahead else self._try_beside_disk

    def give(self, cell: Cell, record: Record, deadline: float | None = None) -> Receipt:
        """Hand a record over; wait for room as long as is allowed, and not beyond the deadline."""
        receipt = self._first_try(cell, record)
        if receipt is not None:
            return receipt
        if self._mode_of(record.event_type) == "block":
            for pause in pauses(self._patience(deadline)):
                time.sleep(pause)
                receipt = self._try(cell, record)
                if receipt is not None:
                    return receipt
        return self._without_room(record)

    async def agive(self, cell: Cell, record: Record, deadline: float) -> Receipt:
        """Do what `give` does; while it waits, the event loop runs on."""
        receipt = self._first_try(cell, record)
        if receipt is not None:
            return receipt
        if self._mode_of(record.event_type) == "block":
            async for _ in apauses(self._patience(deadline)):
                receipt = self._try(cell, record)
                if receipt is not None:
                    return receipt
        return self._without_room(record)

    def _patience(self, deadline: float | None) -> float:
        until = time.monotonic() + self._block_timeout
        return until if deadline is None else min(until, deadline)

    def _try_beside_disk(self, cell: Cell, record: Record) -> Receipt | None:
        """Hand a record over, or queue it on disk behind those that wait there already."""
        spooling = self._spooling
        if spooling is not None and spooling.is_behind and not self.is_closed:
            receipt = self._queue_behind(record, spooling)
            if receipt is not None:
                return receipt
        receipt = self._try(cell, record)
        if receipt is None and spooling is not None and spooling.is_behind:
            return self._queue_behind(record, spooling)  # others came back just now
        return receipt

    def _queue_behind(self, record: Record, spooling: Spooling) -> Receipt | None:
        """Put a record on disk behind those that wait there; None where none does any more."""
        try:
            is_behind = spooling.append_behind(record)
        except ExperimentError as error:
            return self._drop(record, spooling.reason_of(error), str(error))
        return Receipt(record.event_id, "spooled") if is_behind else None

    def _write_ahead(self, cell: Cell, record: Record) -> Receipt | None:
        spooling = self._spooling
        if spooling is None or self.is_closed:
            return self._try(cell, record)
        try:
            is_next = spooling.write_ahead(record)
        except ExperimentError as error:
            return self._drop(record, spooling.reason_of(error), str(error))
        if not is_next:
            return Receipt(record.event_id, "spooled")
        receipt = self._try(cell, record, is_kept=True)
        if receipt is None:
            if not spooling.take_back(record):  # the oldest were dropped meanwhile, it too
                return self._drop(record, "spool_overflow")
            return Receipt(record.event_id, "spooled")
        if receipt.status == "dropped":
            spooling.settled((record,))
        return receipt

    def _try(self, cell: Cell, record: Record, *, is_kept: bool = False) -> Receipt | None:
        """Hand a record over; None where there is no room for it now.

        One that is kept on disk does not get lost because all is closed meanwhile.
        """
        if self.is_closed:
            return None if is_kept else self._drop(record, "closed")
        try:
            self._take(record)
        except QueueFullError:
            return None
        except Exception as error:  # noqa: BLE001  # publish never raises for a delivery reason
            refusal = error
        else:
            cell.accepted += 1
            return Receipt(record.event_id, "accepted")
        try:
            return self._refused(record, refusal)
        finally:
            del refusal  # which refers to this frame

    def _refused(self, record: Record, error: Exception) -> Receipt | None:
        """Drop a record that the way out refused; None where it may wait on disk instead.

        To be called where the error is no longer being handled, which tells it from an interrupt
        that the application is handling.
        """
        interrupt = interrupt_behind(error, sys.exc_info()[1])
        if interrupt is not None:
            raise interrupt from None
        if isinstance(error, RecordTooLargeError):
            return self._drop(record, "too_large", str(error), for_good=True)
        if not isinstance(error, DeliveryError):
            return self._drop(record, "backplane_failed", repr(error), for_good=True)
        if self._spooling is not None and self._spooling.keeps(record.event_type):
            return None
        return self._drop(record, "closed" if self.is_closed else "rejected", str(error))

    def _without_room(self, record: Record) -> Receipt:
        spooling = self._spooling
        if spooling is None or not spooling.keeps(record.event_type):
            return self._drop(record, "queue_full")
        try:
            spooling.append(record)
        except ExperimentError as error:
            return self._drop(record, spooling.reason_of(error), str(error))
        return Receipt(record.event_id, "spooled")

    def _drop(
        self, record: Record, reason: str, detail: str = "", *, for_good: bool = False
    ) -> Receipt:
        self._settlement.dropped(record, reason, detail, for_good=for_good)
        return Receipt(record.event_id, "dropped", reason)


def pauses(deadline: float, longest: float = 0.02) -> Iterator[float]:
    """Give longer and longer pauses in seconds, of which none goes beyond the deadline."""
    pause = 0.001
    while (left := deadline - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(pause * 2, longest)


async def apauses(deadline: float, longest: float = 0.02) -> AsyncIterator[None]:
    """Pause longer and longer, not beyond the deadline; the event loop runs on."""
    import asyncio

    for pause in pauses(deadline, longest):
        await asyncio.sleep(pause)
        yield
