"""The backplane for tests and notebooks: records stay in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Annotated

from experiment_framework.plugin import (
    Backplane,
    Envelope,
    Health,
    Query,
    QueueFullError,
    Record,
    Stored,
    at_hand,
    decode,
    option,
    options,
)
from msgspec import Meta

__all__ = ["MemoryBackplane", "MemoryOptions"]

_NEARLY_FULL = 0.9
_CHUNK = 1000
"""Records a reader takes at once, so that it holds the lock but shortly."""

_PART = ""
"""There is but one part to read."""

_SLICE = 0.1
"""Seconds a follower waits at most before it looks again: Ctrl-C gets through on every platform."""


@options
class MemoryOptions:
    """Options of the memory backplane."""

    max_records: Annotated[int, Meta(ge=1, le=100_000_000)] = option(
        default=100_000,
        help="Most records that are kept. When there are so many, further ones are refused and "
        "counted as dropped; none that was accepted is ever removed.",
    )


class MemoryBackplane(Backplane[MemoryOptions]):
    """Keeps records in a list, in the order they were published.

    It refuses what goes beyond ``maxRecords`` rather than forget what it has: a test or a notebook
    that missed events would draw wrong conclusions in silence, while a drop shows in the receipt,
    in ``stats()`` and in ``health()``.
    """

    def __init__(self, options: MemoryOptions | None = None) -> None:
        super().__init__(options or MemoryOptions())
        self._records: list[Record] = []
        self._changed = threading.Condition()
        self._closed = False
        self._last_delivery: float | None = None

    @property
    def records(self) -> tuple[Record, ...]:
        """All records so far, oldest first; also after the data plane was closed."""
        with self._changed:
            return tuple(self._records)

    @property
    def envelopes(self) -> tuple[Envelope, ...]:
        """All records so far, decoded: ``payload`` is the typed event."""
        return tuple(decode(record.body) for record in self.records)

    def publish(self, record: Record) -> None:
        """Keep a record.

        Raises:
            QueueFullError: ``maxRecords`` are kept already.
        """
        with self._changed:
            if len(self._records) >= self.options.max_records:
                raise QueueFullError(f"maxRecords is {self.options.max_records}: all are taken")
            self._records.append(record)
            self._last_delivery = time.monotonic()
            self._changed.notify_all()
        if self._context is not None and self._context.report_each:
            self._context.delivered(record)

    def outstanding(self) -> int:
        """Answer 0: a record is kept before ``publish`` returns."""
        return 0

    @at_hand
    def health(self) -> Health:
        """Say how full it is."""
        kept, limit = len(self._records), self.options.max_records
        is_full = kept >= limit
        nearly = kept >= limit * _NEARLY_FULL and not is_full
        last = self._last_delivery
        age = None if last is None else round(time.monotonic() - last, 3)
        return Health.judge(
            unhealthy=(f"full: further records are refused, maxRecords is {limit}",)
            if is_full
            else (),
            degraded=(f"{kept} of {limit} records (maxRecords) are taken",) if nearly else (),
            details={"records": kept, "maxRecords": limit, "lastDeliveryAgeSeconds": age},
        )

    def close(self) -> None:
        """End what follows; the records stay."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def after_fork(self) -> None:
        """Take a new lock: a thread of the parent may have held the old one."""
        self._changed = threading.Condition()

    def read(self, query: Query) -> Iterator[Stored]:
        """Give the records that a query asks for.

        One that follows ends when the data plane is closed.
        """
        kept = len(self._records)
        if query.after is None:
            return self._read(query, 0 if query.from_start else kept)
        position = int(query.after.get(_PART, 0))
        return self._read(query, position if position <= kept else 0)

    def _read(self, query: Query, position: int) -> Iterator[Stored]:
        last = time.monotonic()
        while batch := self._next(query, position, last):
            for record in batch:
                position += 1
                if query.matches(record):
                    yield Stored(
                        body=record.body,
                        place=f"memory:{position}",
                        headers=dict(record.headers()),
                        position=(_PART, str(position)),
                    )
                    last = time.monotonic()

    def _next(self, query: Query, position: int, last: float) -> list[Record]:
        """Give what is there beyond a position, waiting for it where the query follows.

        Args:
            query: Says whether it follows, and how long it may find nothing.
            position: How many records were looked at.
            last: When one was found last, on the monotonic clock.
        """
        deadline = float("inf") if query.idle_timeout is None else last + query.idle_timeout
        with self._changed:
            while len(self._records) <= position and query.follow and not self._closed:
                left = min(_SLICE, deadline - time.monotonic())
                if left <= 0:
                    break
                self._changed.wait(left)
            return self._records[position : position + _CHUNK]
