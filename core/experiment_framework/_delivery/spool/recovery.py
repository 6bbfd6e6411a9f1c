"""What a segment holds that was never sealed, because its process died."""

from __future__ import annotations

import os
from array import array
from contextlib import suppress
from pathlib import Path

from experiment_framework._delivery.spool.frames import HEADER_BYTES, Frame, frames
from experiment_framework._delivery.spool.state import (
    BUCKETS,
    KEYLESS,
    StoredState,
    read_state,
    write_state,
)

__all__ = ["recover", "survey"]


def recover(path: Path, state_path: Path) -> StoredState:
    """Say what a segment holds; only what was appended after its last state is read.

    A record whose number is missing between others is counted as there: it will turn out to be
    unreadable. So is one damaged stretch at the end, unless it is a write that was cut short: that
    one was never answered.

    Raises:
        OSError: The disk cannot be read.
    """
    stored = read_state(state_path)
    if stored is not None and stored.is_sealed:
        return stored
    recovered = survey(path, stored)
    with suppress(OSError):  # from a disk that is full, records are replayed all the same
        write_state(state_path, recovered)
    return recovered


def survey(path: Path, stored: StoredState | None) -> StoredState:
    """Do what `recover` does, from what is stored, and change nothing.

    Raises:
        OSError: The disk cannot be read.
    """
    if stored is not None and stored.is_sealed:
        return stored
    if stored is None:
        stored = StoredState(False, 0, 0, 0, array("i", bytes(4 * (BUCKETS + 1))), b"")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        found = _Found(stored, most=size // HEADER_BYTES)
        for item in frames(descriptor, min(stored.end, size), size):
            if isinstance(item, Frame):
                found.add(item.index, item.bucket)
            elif item.end == size and not item.is_torn:
                found.add(found.count, KEYLESS)
    finally:
        os.close(descriptor)
    states = stored.states + bytes(found.count - stored.count)
    return StoredState(True, size, found.count, stored.watermark, found.keys, states)


class _Found:
    """Counts the records behind a stored state."""

    def __init__(self, stored: StoredState, most: int) -> None:
        self.count = stored.count
        self.keys = stored.keys[:]
        self._missing: set[int] = set()
        self._most = max(most, stored.count)

    def add(self, index: int, bucket: int) -> None:
        """Count a record, and those that are missing before it."""
        if index in self._missing:
            self._missing.discard(index)
            self.keys[KEYLESS] -= 1
            self.keys[bucket] += 1
        elif self.count <= index <= self._most:
            missing = range(self.count, index)
            self._missing.update(missing)
            self.keys[KEYLESS] += len(missing)
            self.keys[bucket] += 1
            self.count = index + 1
