"""Gives records to the way out, and decides what happens when it has no room."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from experiment_framework.errors import DeliveryError, QueueFullError, RecordTooLargeError
from experiment_framework.results import Receipt

if TYPE_CHECKING:
    from experiment_framework._delivery.outlet import Outlet
    from experiment_framework._delivery.throttle import ThrottledLog
    from experiment_framework._ledger import Cell
    from experiment_framework.envelope import Record

__all__ = ["Handover", "pauses"]


class Handover:
    """Hands records to an outlet; drops or waits where there is no room.

    Args:
        outlet: The way out.
        log: Where drops are reported, throttled.
        block_timeout: Seconds to wait for room; 0 to drop at once.
    """

    def __init__(self, outlet: Outlet, log: ThrottledLog, *, block_timeout: float) -> None:
        self.is_closed = False
        self._take = outlet.publish
        self._log = log
        self._block_timeout = block_timeout

    def give(self, cell: Cell, record: Record, deadline: float | None = None) -> Receipt:
        """Hand a record over; wait for room as long as is allowed, and not beyond the deadline."""
        receipt = self._try(cell, record)
        if receipt is not None:
            return receipt
        if self._block_timeout:
            for pause in pauses(self._patience(deadline)):
                time.sleep(pause)
                receipt = self._try(cell, record)
                if receipt is not None:
                    return receipt
        return self._drop(cell, record, "queue_full")

    async def agive(self, cell: Cell, record: Record, deadline: float) -> Receipt:
        """Do what `give` does; while it waits, the event loop runs on."""
        receipt = self._try(cell, record)
        if receipt is not None:
            return receipt
        if self._block_timeout:
            async for _ in apauses(self._patience(deadline)):
                receipt = self._try(cell, record)
                if receipt is not None:
                    return receipt
        return self._drop(cell, record, "queue_full")

    def _patience(self, deadline: float | None) -> float:
        until = time.monotonic() + self._block_timeout
        return until if deadline is None else min(until, deadline)

    def _try(self, cell: Cell, record: Record) -> Receipt | None:
        """Hand a record over; None where there is no room for it now."""
        if self.is_closed:
            return self._drop(cell, record, "closed")
        try:
            self._take(record)
        except QueueFullError:
            return None
        except RecordTooLargeError as error:
            return self._drop(cell, record, "too_large", str(error))
        except DeliveryError as error:
            return self._drop(cell, record, self._rejection(), str(error))
        except Exception as error:  # noqa: BLE001  # publish never raises for a delivery reason
            return self._drop(cell, record, "backplane_failed", repr(error))
        cell.accepted += 1
        return Receipt(record.event_id, "accepted")

    def _rejection(self) -> str:
        return "closed" if self.is_closed else "rejected"

    def _drop(self, cell: Cell, record: Record, reason: str, detail: str = "") -> Receipt:
        cell.dropped[reason] += 1
        suffix = f" ({detail})" if detail else ""
        self._log.report(reason, f"an event was dropped: {reason}{suffix}")
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
