"""What the data plane answers: receipts, results and counts."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

__all__ = ["FlushResult", "Receipt", "ReceiptStatus", "Stats"]

ReceiptStatus: TypeAlias = Literal[
    "accepted", "sampled_out", "disabled", "dropped", "delivered", "failed"
]


class Receipt(msgspec.Struct, frozen=True):
    """What became of one event when it was published.

    Attributes:
        event_id: The id it has, or would have had.
        status: ``accepted`` (on its way), ``sampled_out``, ``disabled`` (its type is switched off)
            or ``dropped``. The calls that wait also answer ``delivered`` and ``failed``; their
            ``accepted`` means that the time was over before its fate was known.
        reason: Why, for every status but ``accepted`` and ``delivered``.
    """

    event_id: str
    status: ReceiptStatus
    reason: str | None = None


class FlushResult(msgspec.Struct, frozen=True, kw_only=True):
    """Where events stand after a flush or a close, counted since the data plane was made.

    Attributes:
        delivered: Known to be durable.
        failed: Accepted, and will never arrive.
        pending: Accepted, and without a fate when the time was over.
        dropped: Not accepted, for want of room or because it was too large or too late.
    """

    delivered: int
    failed: int
    pending: int
    dropped: int

    @property
    def is_complete(self) -> bool:
        """Whether every event that was offered for delivery is delivered."""
        return not (self.failed or self.pending or self.dropped)


class Stats(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Every published event, accounted for.

    ``offered + recovered = refused + disabled + sampled_out + all of dropped + failed + delivered +
    pending + spooled``, exactly whenever no publish is running.

    Attributes:
        offered: Calls of a publish method.
        recovered: Records adopted from earlier processes.
        refused: Events with a mistake in them; the caller got an exception.
        disabled: Events of a type that is switched off.
        sampled_out: Events that a pipeline step left out.
        dropped: Events without room or too large, by reason.
        failed: Accepted events that will never arrive.
        delivered: Events known to be durable.
        pending: Accepted events without a fate yet.
        spooled: Records on local disk, not handed to the backplane.
    """

    offered: int
    recovered: int
    refused: int
    disabled: int
    sampled_out: int
    dropped: dict[str, int]
    failed: int
    delivered: int
    pending: int
    spooled: int

    @property
    def dropped_total(self) -> int:
        """All of ``dropped``, whatever the reason."""
        return sum(self.dropped.values())
