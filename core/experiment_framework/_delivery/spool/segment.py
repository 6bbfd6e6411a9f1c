"""One file of frames, and what became of each record in it."""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from experiment_framework._delivery.spool.frames import HEADER_BYTES, frame_of
from experiment_framework._delivery.spool.recovery import recover
from experiment_framework._delivery.spool.state import DONE, StoredState, write_state

__all__ = ["PASSED", "RETURNED", "WAITING", "Place", "Segment", "Tally"]

WAITING: Final = 0
HANDED_OUT: Final = 1
PASSED: Final = 3
"""With its caller from the beginning: it never waited."""
RETURNED: Final = 4
"""Given back by its caller: it waits again, before all that was not handed out yet."""

_NOBODY_HAS: Final = frozenset({WAITING, RETURNED})
_AS_STORED: Final = bytes(DONE if state == DONE else WAITING for state in range(256))
_GROWTH: Final = 4096
_SPARE: Final = 64
"""How deep appends may nest (signal handlers) before a state would have no room."""


class Place(msgspec.Struct, frozen=True, gc=False, order=True):
    """Where a record lies; sorts by age.

    Attributes:
        serial: Of its segment, within this spool.
        index: Within its segment.
        offset: In bytes.
    """

    serial: int
    index: int
    offset: int


class Tally:
    """The sums over all segments of a spool.

    Attributes:
        depth: Records that are not acknowledged.
        waiting: Those of them that nobody has.
        recovered: Records that were adopted.
        bytes: The size of all segments.
        max_bytes: What that may be at most.
    """

    __slots__ = ("bytes", "depth", "max_bytes", "recovered", "waiting")

    def __init__(self, max_bytes: int) -> None:
        self.depth = 0
        self.waiting = 0
        self.recovered = 0
        self.bytes = 0
        self.max_bytes = max_bytes


class Segment:
    """One file. Its methods are called under the spool's lock, except where they say otherwise.

    Counts change in straight lines, without a call in between: a signal handler that appends in
    the midst of an append finds them whole.

    Attributes:
        path: Of the file of frames.
        serial: The position among the spool's segments, by age.
        end: The offset behind the last frame.
        limit: What that may be at most; no append has room until it is set, nor once it is sealed.
        count: How many records were ever appended.
        pending: How many of them are not acknowledged.
        is_sealed: Nothing is appended any more.
        is_changed: Something is not stored yet.
        stored_end: What ``end`` was when the state was last stored.
        read_to: Up to where records were handed out.
        writing: How many appends are under way: more than one where a signal handler appends.
        descriptor: Of the file while it is appended to, else -1.
    """

    def __init__(self, path: Path, serial: int, tally: Tally) -> None:
        self.path = path
        self.serial = serial
        self.end = 0
        self.limit = 0
        self.count = 0
        self.pending = 0
        self.is_sealed = False
        self.is_changed = False
        self.stored_end = 0
        self.read_to = 0
        self.writing = 0
        self.descriptor = -1
        self._tally = tally
        self._watermark = 0
        self._states = bytearray()
        self._packed: bytes | None = None

    @classmethod
    def create(cls, path: Path, serial: int, tally: Tally) -> Segment:
        """Make an empty segment on the disk.

        Raises:
            OSError: The disk does not take it.
        """
        segment = cls(path, serial, tally)
        segment.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        return segment

    @classmethod
    def adopt(cls, path: Path, serial: int, tally: Tally) -> Segment:
        """Take over a segment of a process that is no more.

        Raises:
            OSError: The disk cannot be read.
        """
        segment = cls(path, serial, tally)
        stored = recover(path, segment._state_path)
        segment.end = segment.stored_end = stored.end
        segment.count = stored.count
        segment.pending = stored.pending
        segment.is_sealed = True
        segment._watermark = stored.watermark
        segment._packed = zlib.compress(bytes([DONE]) * stored.watermark + stored.states, 1)
        tally.recovered += segment.pending  # first: none that waits has come from nowhere
        tally.depth += segment.pending
        tally.waiting += segment.pending
        tally.bytes += segment.end
        return segment

    def append(self, body: bytes, state: int) -> Place | None:
        """Append a record; it is with the operating system when this returns.

        Returns:
            None where there is no room, or a signal handler had it sealed in the meantime.

        Raises:
            OSError: The disk does not take it; nothing has changed then.
        """
        states, tally = self._states, self._tally
        if self.count + _SPARE > len(states):
            states.extend(bytes(_GROWTH))
        size = HEADER_BYTES + len(body)
        descriptor = self.descriptor
        index = self.count
        offset = self.end
        end = offset + size
        total = tally.bytes + size
        if end > self.limit or total > tally.max_bytes:
            return None
        self.count = index + 1
        self.end = end
        states[index] = state
        self.writing += 1
        self.pending += 1
        tally.depth += 1
        tally.waiting += state == WAITING
        tally.bytes = total
        if state == PASSED and self.read_to == offset:
            # Nothing is left to hand out before it, nor is this.
            self.read_to = end
        try:
            frame = frame_of(body, index)
            written = os.pwrite(descriptor, frame, offset)
            while written < size:
                written += os.pwrite(descriptor, frame[written:], offset + written)
            place = Place(self.serial, index, offset)
        except BaseException:  # Ctrl-C too: what was not answered must not look like a record
            self._undo(index, offset, size)
            raise
        finally:
            self.writing -= 1
        return place

    def hand_out(self, index: int) -> bool:
        """Note that a record is with a caller from now on; False where it does not wait."""
        self._load()
        if index >= self.count or self._states[index] not in _NOBODY_HAS:
            return False
        self._states[index] = HANDED_OUT
        self._tally.waiting -= 1
        return True

    def give_back(self, place: Place) -> bool:
        """Note that a record is to be handed out again; False where it is done."""
        self._load()
        state = self._states[place.index]
        if state in {HANDED_OUT, PASSED}:
            was_read = place.offset < self.read_to
            self._states[place.index] = RETURNED if was_read else WAITING
            self._tally.waiting += 1
        return state != DONE

    def finish(self, index: int) -> bool:
        """Note that a record is delivered or lost; False where that was known."""
        if self._packed is not None:
            self._load()
        states, tally = self._states, self._tally
        state = states[index]
        if state == DONE:
            return False
        states[index] = DONE
        self.pending -= 1
        tally.depth -= 1
        tally.waiting -= state == WAITING or state == RETURNED  # noqa: PLR1714  # half the time of a set
        self.is_changed = True
        return True

    def has_unreadable(self) -> bool:
        """Whether anything waits still where all that could be read was handed out."""
        self._load()
        return self._states.count(WAITING, 0, self.count) > 0

    def write_off(self) -> int:
        """Finish what still waits after all of a sealed segment was read: it cannot be read.

        Returns:
            How many records that is.
        """
        self._load()
        lost = self._states.count(WAITING, 0, self.count)
        if not lost:
            return 0
        self._states = self._states.replace(bytes([WAITING]), bytes([DONE]))
        self.pending -= lost
        self._tally.depth -= lost
        self._tally.waiting -= lost
        self.is_changed = True
        return lost

    def seal(self) -> int:
        """Append no more; give the descriptor, which is to be synced and closed."""
        descriptor, self.descriptor = self.descriptor, -1
        self.limit = 0
        self._states = self._states[: self.count]
        self.is_sealed = True
        self.is_changed = True
        if self.read_to == 0 and not self._states.strip(bytes([WAITING])):
            self._packed = zlib.compress(self._states, 1)
            self._states = bytearray()
        return descriptor

    def snapshot(self) -> StoredState | None:
        """Give what is to be stored, where there is anything new."""
        if not self.is_changed:
            return None
        self.is_changed = False
        if self._packed is None:
            states = bytes(self._states[self._watermark : self.count])
            done = len(states) - len(states.lstrip(bytes([DONE])))
            self._watermark += done
            states = states[done:].translate(_AS_STORED)
        else:
            states = zlib.decompress(self._packed)[self._watermark :]
        return StoredState(self.is_sealed, self.end, self.count, self._watermark, states)

    def store(self, state: StoredState) -> None:
        """Put a snapshot on the disk; needs no lock.

        Raises:
            OSError: The disk does not take it.
        """
        try:
            write_state(self._state_path, state)
        except OSError:
            self.is_changed = True
            raise
        self.stored_end = state.end

    def forget(self) -> None:
        """Take what is left in it out of the sums."""
        tally = self._tally
        tally.depth -= self.pending
        tally.waiting -= self.waiting()
        tally.bytes -= self.end
        self.pending = 0

    def waiting(self) -> int:
        """Count the records that nobody has."""
        if not self.pending:
            return 0
        self._load()
        states = self._states
        return states.count(WAITING, 0, self.count) + states.count(RETURNED, 0, self.count)

    def states(self) -> bytes:
        """Give the state of each record: `WAITING` or `RETURNED` for those that nobody has."""
        self._load()
        return bytes(self._states[: self.count])

    def delete(self) -> None:
        """Delete the files; needs no lock.

        Raises:
            OSError: The disk does not let go of them.
        """
        self.path.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)

    def _load(self) -> None:
        """Unfold the states of single records; they stay folded until one is touched."""
        if self._packed is not None:
            self._states = bytearray(zlib.decompress(self._packed))
            self._packed = None

    def _undo(self, index: int, offset: int, size: int) -> None:
        self.finish(index)
        if self.count == index + 1 and self.end == offset + size:  # nothing was nested
            self.count = index
            self.end = offset
            self._tally.bytes -= size
            self.read_to = min(self.read_to, offset)
            with suppress(OSError):  # bytes that stay are overwritten, or skipped
                os.ftruncate(self.descriptor, offset)

    @property
    def _state_path(self) -> Path:
        return self.path.with_suffix(".state")
