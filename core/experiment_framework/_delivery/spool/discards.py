"""Records that were dropped for lack of room, as long as they can still be told apart."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from itertools import islice
from typing import Final

from experiment_framework._delivery.spool.frames import Frame, frames
from experiment_framework._delivery.spool.segment import RETURNED, WAITING, Segment
from experiment_framework.envelope import Record
from experiment_framework.errors import DecodeError

__all__ = ["Discards"]

_NOBODY_HAS: Final = frozenset({bytes([WAITING]), bytes([RETURNED])})

_AT_ONCE: Final = 100
"""Records that are read between two looks whether their file is still kept."""

_MOST_FILES: Final = 2
"""How many dropped segments still take room on the disk until they are read."""


class Discards:
    """Keeps the last dropped segments open: their names are gone, their bytes can be read.

    `add` is called under the spool's lock. `take` reads without it, for which nobody waits, and
    holds it for the moment in which it makes sure that what it has read was not let go of.

    Args:
        lock: The spool's lock.

    Attributes:
        count: How many records were dropped that nobody had.
        untold: How many of them cannot be told of any more.
    """

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        self.count = 0
        self.untold = 0
        self._files: deque[_File] = deque()

    def add(self, segment: Segment) -> None:
        """Count the records of a segment that wait, and keep them readable."""
        states = segment.states()
        waiting = states.count(WAITING) + states.count(RETURNED)
        self.count += waiting
        if not waiting:
            return
        try:
            self._files.append(_File(segment, states, waiting))
        except OSError:
            self.untold += waiting
        while len(self._files) > _MOST_FILES:
            self._let_go()

    def take(self, most: int) -> list[Record]:
        """Read records; each is given once."""
        records: list[Record] = []
        while len(records) < most:
            with self._lock:
                if not self._files:
                    break
                file = self._files[0]
            wanted = min(most - len(records), _AT_ONCE)
            found = file.read(wanted)
            with self._lock:
                if not self._files or self._files[0] is not file:
                    continue  # let go of meanwhile: they were counted as untold
                file.left -= len(found)
                records += found
                if len(found) < wanted:
                    self._let_go()
        return records

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            self.after_fork()

    def after_fork(self) -> None:
        """Do so in a child; the lock may be another thread's for ever."""
        while self._files:
            self._let_go()

    def _let_go(self) -> None:
        file = self._files.popleft()
        self.untold += file.left
        file.close()


class _File:
    def __init__(self, segment: Segment, states: bytes, waiting: int) -> None:
        self.left = waiting
        self._descriptor = os.open(segment.path, os.O_RDONLY)
        self._records = self._read(segment.end, states)

    def read(self, most: int) -> list[Record]:
        """Read the next records; fewer than asked for where there are no more, or none now."""
        try:
            return list(islice(self._records, most))
        except (OSError, ValueError):  # it was closed, or another thread is at it
            return []

    def _read(self, end: int, states: bytes) -> Iterator[Record]:
        for item in frames(self._descriptor, 0, end):
            if isinstance(item, Frame) and states[item.index : item.index + 1] in _NOBODY_HAS:
                with suppress(DecodeError):
                    yield Record.from_body(item.body)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
