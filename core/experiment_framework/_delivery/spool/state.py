"""The small file beside a segment: what is acknowledged of it, and how much is in it.

It is replaced as a whole, so that a crash leaves the old one or the new one. One that is missing
or damaged costs a scan of the segment and repeats what was acknowledged.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from struct import Struct
from typing import Final

import msgspec

__all__ = ["DONE", "StoredState", "read_state", "write_state"]

DONE: Final = 2
"""The state of a record that is acknowledged."""

_MAGIC: Final = b"\xfeXT\x01"
_HEADER: Final = Struct("<4sBxxxQIII")
_CHECK: Final = Struct("<I")


class StoredState(msgspec.Struct, frozen=True):
    """What is known of a segment without reading it.

    Attributes:
        is_sealed: Nothing was appended after this was written.
        end: The offset up to which the rest holds.
        count: How many records were ever appended below ``end``.
        watermark: Every record with a smaller index is acknowledged.
        states: One byte for each record from the watermark on, `DONE` where it is acknowledged.
    """

    is_sealed: bool
    end: int
    count: int
    watermark: int
    states: bytes

    @property
    def pending(self) -> int:
        """How many records are not acknowledged."""
        return len(self.states) - self.states.count(DONE)

    def is_done(self, index: int) -> bool:
        """Whether a record is acknowledged, as far as this knows."""
        if index < self.watermark:
            return True
        index -= self.watermark
        return index < len(self.states) and self.states[index] == DONE


def write_state(path: Path, state: StoredState) -> None:
    """Replace a state file.

    It is not synced: a power cut that takes it leads to repeats, never to a loss.

    Raises:
        OSError: The disk does not take it; the old one is still there.
    """
    packed = zlib.compress(state.states, 1)
    content = (
        _HEADER.pack(_MAGIC, state.is_sealed, state.end, state.count, state.watermark, len(packed))
        + packed
    )
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        content += _CHECK.pack(zlib.crc32(content))
        while content:
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)
    draft.replace(path)


def read_state(path: Path) -> StoredState | None:
    """Read a state file; None where it is missing or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if len(content) < _HEADER.size + _CHECK.size:
        return None
    content, check = content[: -_CHECK.size], content[-_CHECK.size :]
    magic, is_sealed, end, count, watermark, size = _HEADER.unpack_from(content)
    packed = content[_HEADER.size :]
    if magic != _MAGIC or len(packed) != size or _CHECK.unpack(check)[0] != zlib.crc32(content):
        return None
    states = zlib.decompressobj().decompress(packed, count - watermark + 1)
    if len(states) != count - watermark:
        return None
    return StoredState(bool(is_sealed), end, count, watermark, states)
