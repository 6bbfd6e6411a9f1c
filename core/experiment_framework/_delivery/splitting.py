"""Reads out of an exception what became of each record of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from experiment_framework.envelope import Record
from experiment_framework.plugin.failures import BatchFailure, BatchTooLarge, Permanent

__all__ = ["Outcome", "halves", "judge"]


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of a batch that was given to the sink.

    Attributes:
        delivered: The records that are durable.
        refused: Those that never will be, each with the reason.
        rest: Those that are to be tried again, in order.
        is_too_large: Whether it was too large for the sink: then fewer at once are to be tried.
        is_told: Whether the sink itself said what may be tried again.
        reason: Why not all is delivered; None where it is.
    """

    delivered: Sequence[Record] = ()
    refused: Sequence[tuple[Record, str]] = ()
    rest: Sequence[Record] = ()
    is_too_large: bool = False
    is_told: bool = False
    reason: str | None = None


def judge(batch: Sequence[Record], error: BaseException | None) -> Outcome:
    """Sort the records of a batch by what the sink raised about them."""
    if error is None:
        return Outcome(delivered=batch)
    failures = tuple(_failures(error))
    named = _named(batch, failures) if failures else None
    if named is None:
        return Outcome(rest=batch, reason=_reason(error))
    delivered: list[Record] = []
    refused: list[tuple[Record, str]] = []
    rest: list[Record] = []
    for record, failure in zip(batch, named, strict=True):
        if failure is None:
            delivered.append(record)
        elif isinstance(failure, Permanent) or (
            isinstance(failure, BatchTooLarge) and len(batch) == 1
        ):
            refused.append((record, failure.reason))
        else:
            rest.append(record)
    return Outcome(
        delivered=delivered,
        refused=refused,
        rest=rest,
        is_too_large=any(isinstance(failure, BatchTooLarge) for failure in failures),
        is_told=True,
        reason=_reason(error),
    )


def halves(records: Sequence[Record]) -> tuple[Sequence[Record], Sequence[Record]]:
    """Split records in two, in order."""
    middle = (len(records) + 1) // 2
    return records[:middle], records[middle:]


def _failures(error: BaseException) -> Iterator[BatchFailure]:
    """Give what a sink says about records; nothing where anything else is among it."""
    if isinstance(error, BatchFailure):
        yield error
    elif isinstance(error, BaseExceptionGroup) and error.split(BatchFailure)[1] is None:
        for each in error.exceptions:
            yield from _failures(each)


def _named(
    batch: Sequence[Record], failures: Sequence[BatchFailure]
) -> list[BatchFailure | None] | None:
    """Find the failure of each record of a batch; None where they do not name its records.

    The worst one counts where several name a record. That a sink names nothing, or what it was not
    given, must not make anything look delivered.
    """
    places = {id(record): place for place, record in enumerate(batch)}
    named: list[BatchFailure | None] = [None] * len(batch)
    for failure in failures:
        for record in batch if failure.records is None else failure.records:
            place = places.get(id(record))
            if place is None:
                return None
            if not isinstance(named[place], Permanent):
                named[place] = failure
    return named if any(named) else None


def _reason(error: BaseException) -> str:
    if isinstance(error, BatchFailure):
        return error.reason
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(_reason(each) for each in error.exceptions))
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  # a sink may raise anything, also what cannot say what it is
        return type(error).__name__
