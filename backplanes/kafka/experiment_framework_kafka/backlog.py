"""Records that wait in memory for a new client, after theirs gave up for good."""

from __future__ import annotations

import threading
import time
from collections import deque
from datetime import datetime
from typing import NamedTuple

import msgspec
from experiment_framework.plugin import QueueFullError, Record

__all__ = ["Backlog"]


class Held(NamedTuple):
    """A record and since when it waits, in monotonic seconds."""

    record: Record
    since: float


class Backlog:
    """What came back from a client, and behind it what was published since.

    Args:
        max_records: How many records may wait, here and in the client together.
        max_bytes: How many bytes of them may wait here.

    Attributes:
        lock: Held to append, and by whoever decides that nothing is appended any more.
        returns_since: Since when the record waits that comes back next, where it has waited before.
    """

    def __init__(self, *, max_records: int, max_bytes: int) -> None:
        self.lock = threading.RLock()
        self.returns_since: float | None = None
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._bytes = 0
        self._returned: list[Held] = []
        self._waiting: deque[Held] = deque()

    def __len__(self) -> int:
        """Count the records that wait."""
        return len(self._returned) + len(self._waiting)

    def give_back(self, record: Record) -> None:
        """Take a record that its client had taken; called inside the client's calls."""
        self._returned.append(Held(record, self.returns_since or time.monotonic()))

    def append(self, record: Record, *, outstanding: int) -> None:
        """Take a new record, behind all others.

        Args:
            record: The record.
            outstanding: How many records the client still has.

        Raises:
            QueueFullError: There is no room.
        """
        with self.lock:
            size = self._bytes + len(record.body)
            if len(self) + outstanding >= self._max_records or size > self._max_bytes:
                raise QueueFullError("the client is being replaced, and all room is taken")
            self._bytes = size
            self._waiting.append(Held(record, time.monotonic()))

    def put_in_order(self) -> None:
        """Put what came back before what is new, in the order in which it was published.

        Reports do not come in that order: what is in flight, queued and about to be sent comes back
        each by itself. For a moment records count twice here, never not at all.
        """
        with self.lock:
            returned = sorted(self._returned, key=lambda held: _published(held.record))
            self._waiting.extendleft(reversed(returned))
            self._returned.clear()
            self._bytes = sum(len(held.record.body) for held in self._waiting)

    def first(self) -> Held | None:
        """Give the record whose turn it is; it stays until `remove_first`."""
        return self._waiting[0] if self._waiting else None

    def remove_first(self) -> None:
        """Let go of the record whose turn it was: somebody else counts it now."""
        with self.lock:
            self._bytes -= len(self._waiting.popleft().record.body)


class _Stamp(msgspec.Struct, rename="camel"):
    timestamp: datetime
    event_id: str


_stamp_of = msgspec.json.Decoder(_Stamp).decode


def _published(record: Record) -> tuple[datetime, str]:
    """Tell when a record was published; ids of the same microsecond ascend."""
    stamp = _stamp_of(record.body)
    return stamp.timestamp, stamp.event_id
