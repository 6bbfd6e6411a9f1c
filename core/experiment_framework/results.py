"""What the data plane answers: receipts, results and counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, final

import msgspec

from experiment_framework.envelope import Record

__all__ = ["Breakdown", "DeliveryReport", "FlushResult", "Receipt", "ReceiptStatus", "Stats"]

ReceiptStatus: TypeAlias = Literal[
    "accepted", "spooled", "sampled_out", "disabled", "dropped", "delivered", "failed"
]


@final
class Receipt(msgspec.Struct, frozen=True):
    """What became of one event when it was published.

    Attributes:
        event_id: The id it has, or would have had.
        status: ``accepted`` (on its way), ``spooled`` (on local disk, to be sent later),
            ``sampled_out``, ``disabled`` (its type is switched off)
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
        spooled: On local disk, to be sent later, possibly by a later process.
    """

    delivered: int
    failed: int
    pending: int
    dropped: int
    spooled: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether every event that was offered for delivery is delivered."""
        return not (self.failed or self.pending or self.dropped or self.spooled)


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
        callback_errors: Calls of ``on_drop`` and ``on_delivery`` that raised.
        callbacks_skipped: Calls that were left out: too many were waiting, all was closed, or there
            was no record to show. With the calls of ``on_drop`` they make up ``dropped``.
        members: The accounts of each member by name, where the backplane is made of several. They
            are accounts of their own: an event is in those of each member that it was meant for.
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
    callback_errors: int = 0
    callbacks_skipped: int = 0
    members: Mapping[str, Stats] = msgspec.field(default_factory=dict)

    @property
    def dropped_total(self) -> int:
        """All of ``dropped``, whatever the reason."""
        return sum(self.dropped.values())


class Breakdown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of the events of one type, experiment and variant.

    Attributes:
        event_type: The wire name of the type.
        experiment_name: The experiment; None for events without one, and for those of the rarer
            experiments once very many have been seen.
        variant_key: The variant, likewise.
        offered: Events that were encoded.
        dropped: Those without room, or too large.
        failed: Accepted ones that will never arrive.
    """

    event_type: str
    experiment_name: str | None
    variant_key: str | None
    offered: int
    dropped: int
    failed: int


class DeliveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """The fate of one record, as ``on_delivery`` is told.

    Attributes:
        record: The record.
        status: ``delivered`` or ``failed``.
        reason: Why it failed.
    """

    record: Record
    status: Literal["delivered", "failed"]
    reason: str | None = None
