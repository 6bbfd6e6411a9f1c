"""Gives records out, oldest first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path
from typing import Final

from experiment_framework._delivery.spool.aside import keep_aside
from experiment_framework._delivery.spool.errors import Trouble
from experiment_framework._delivery.spool.frames import HEADER_BYTES, Frame, Gap, frames
from experiment_framework._delivery.spool.segment import Place, Segment
from experiment_framework._delivery.spool.segments import Segments
from experiment_framework.envelope import Record
from experiment_framework.errors import DecodeError

__all__ = ["HandOut"]

_AT_ONCE: Final = 100
"""Records that are handed out in one moment of the lock."""


class HandOut:
    """Reads the segments of a spool from the oldest to the newest.

    Frames are read and decoded without the spool's lock, which is held for moments in between.

    Attributes:
        corrupt: How many records could not be read.

    Args:
        directory: The declared directory.
        lock: The spool's lock.
        segments: What is read.
        trouble: Is told of what the disk complains about.
    """

    def __init__(
        self,
        directory: Path,
        lock: AbstractContextManager[object],
        segments: Segments,
        trouble: Trouble,
    ) -> None:
        self.corrupt = 0
        self._directory = directory
        self._lock = lock
        self._segments = segments
        self._trouble = trouble
        self._returned: list[Place] = []
        self._reading: _Reading | None = None
        self._is_busy = False
        self._is_closed = False

    def release(self, place: Place) -> bool:
        """Hand a record out again, before all younger ones; False where it is gone."""
        with self._lock:
            segment = self._segments.by_serial.get(place.serial)
            if segment is None or not segment.give_back(place):
                return False
            if place.offset < segment.read_to:  # else it is read with those around it
                heappush(self._returned, place)
            return True

    def take(self, most: int) -> list[tuple[Place, Record]]:
        """Hand out the oldest records that nobody has.

        One reader at a time: another one meanwhile, such as a signal handler, gets nothing.

        Raises:
            SpoolError: The disk cannot be read.
        """
        with self._lock:
            if self._is_busy:
                return []
            self._is_busy = True
        batch: list[tuple[Place, Record]] = []
        try:
            while len(batch) < most:
                segment = self._current()
                if self._returned and (
                    segment is None or self._returned[0].serial <= segment.serial
                ):
                    batch += self._take_returned()
                elif segment is not None:
                    batch += self._take_from(segment, most - len(batch))
                else:
                    break
        except OSError as error:
            trouble = self._trouble.note(error)
            if not batch:
                raise trouble from error
            return batch  # nobody else would be given what is in it; the next call says why
        else:
            return batch
        finally:
            with self._lock:
                self._is_busy = False
                if self._is_closed:
                    self._close()

    def close(self) -> None:
        """Let go of the file that is being read; where that is going on, when it ends."""
        with self._lock:
            self._is_closed = True
            if not self._is_busy:
                self._close()

    def after_fork(self) -> None:
        """Let go of the parent's file, in a child; the lock may be another thread's for ever."""
        self._close()

    def _close(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.close()

    def _take_returned(self) -> list[tuple[Place, Record]]:
        with self._lock:
            place = heappop(self._returned)
            segment = self._segments.by_serial.get(place.serial)
            if segment is None or not segment.hand_out(place.index):
                return []
        try:
            return self._read_again(segment, place)
        except FileNotFoundError:
            self._lose(segment, place)
            return []
        except OSError:
            self.release(place)
            raise

    def _read_again(self, segment: Segment, place: Place) -> list[tuple[Place, Record]]:
        descriptor = os.open(segment.path, os.O_RDONLY)
        try:
            frame = _frame_at(descriptor, place)
            if frame is not None:
                return self._decoded(segment, frame, descriptor)
            self._lose(segment, place)
            return []
        finally:
            os.close(descriptor)

    def _current(self) -> Segment | None:
        """Find the oldest segment with something to read, and open it there."""
        while True:
            with self._lock:
                segment = self._oldest_unread()
                if segment is None:
                    self._close()  # an open file keeps its room on the disk, even when deleted
                    return None
                if segment.writing:  # asked by a signal handler in the midst of an append
                    return None
                start, end = segment.read_to, segment.end
            reading = self._reading
            if reading is None or reading.segment is not segment or reading.end != end:
                self._close()
                try:
                    self._reading = _Reading(segment, start, end)
                except FileNotFoundError:  # its records are written off when it is sealed
                    segment.read_to = end
                    continue
            return segment

    def _oldest_unread(self) -> Segment | None:
        """Find the oldest segment with something to read.

        Called under the lock, which is held for all of it: between two looks, one that had nothing
        could get records, be sealed, and be overtaken by the next one.
        """
        unread = self._segments.unread
        position = 0
        while position < len(unread):
            segment = unread[position]
            if segment.writing or segment.read_to < segment.end:
                return segment
            if self._segments.tally.waiting and segment.has_unreadable():
                self._segments.retire(segment)  # nobody would wait for them any more
            if segment.is_sealed:
                unread.pop(position)
                self.corrupt += segment.write_off()
                self._segments.settle(segment)
            else:  # more may come, but there is more to read already
                position += 1
        return None

    def _take_from(self, segment: Segment, most: int) -> list[tuple[Place, Record]]:
        reading = self._reading
        batch: list[tuple[Place, Record]] = []
        if reading is None:
            return batch
        while items := list(islice(reading.items, min(_AT_ONCE, most - len(batch)))):
            whole = [item for item in items if isinstance(item, Frame)]
            for gap in (item for item in items if isinstance(item, Gap)):
                keep_aside(self._directory, segment.path, reading.descriptor, gap.start, gap.end)
            with self._lock:
                waiting = [frame for frame in whole if segment.hand_out(frame.index)]
                if whole:
                    segment.read_to = whole[-1].offset + HEADER_BYTES + len(whole[-1].body)
            for frame in waiting:
                batch += self._decoded(segment, frame, reading.descriptor)
            if len(batch) >= most:
                return batch
        with self._lock:
            segment.read_to = max(segment.read_to, reading.end)
        self._close()
        return batch

    def _decoded(
        self, segment: Segment, frame: Frame, descriptor: int
    ) -> list[tuple[Place, Record]]:
        place = Place(segment.serial, frame.index, frame.offset)
        try:
            return [(place, Record.from_body(frame.body))]
        except DecodeError:
            end = frame.offset + HEADER_BYTES + len(frame.body)
            keep_aside(self._directory, segment.path, descriptor, frame.offset, end)
            self._lose(segment, place)
            return []

    def _lose(self, segment: Segment, place: Place) -> None:
        with self._lock:
            if segment.finish(place.index):
                self.corrupt += 1
                self._segments.settle(segment)


class _Reading:
    """A segment that is being read."""

    def __init__(self, segment: Segment, start: int, end: int) -> None:
        self.segment = segment
        self.end = end
        self.descriptor = os.open(segment.path, os.O_RDONLY)
        self.items: Iterator[Frame | Gap] = frames(self.descriptor, start, end)

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        os.close(descriptor)


def _frame_at(descriptor: int, place: Place) -> Frame | None:
    """Read one frame where it was; None where it is no longer readable."""
    size = os.fstat(descriptor).st_size
    found = next(frames(descriptor, place.offset, size), None)
    if isinstance(found, Frame) and (found.offset, found.index) == (place.offset, place.index):
        return found
    return None
