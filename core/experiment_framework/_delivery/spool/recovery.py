"""What a segment holds that was never sealed, because its process died."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from experiment_framework._delivery.spool.frames import HEADER_BYTES, Frame, frames
from experiment_framework._delivery.spool.state import StoredState, read_state, write_state

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
        stored = StoredState(False, 0, 0, 0, b"")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        count, most = stored.count, max(stored.count, size // HEADER_BYTES)
        for item in frames(descriptor, min(stored.end, size), size):
            if isinstance(item, Frame):
                if count <= item.index <= most:
                    count = item.index + 1
            elif item.end == size and not item.is_torn:
                count += 1
    finally:
        os.close(descriptor)
    states = stored.states + bytes(count - stored.count)
    return StoredState(True, size, count, stored.watermark, states)
