"""The segments of this process and their life: begun, sealed, adopted, dropped, finished."""

from __future__ import annotations

import os
from bisect import insort
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from experiment_framework._delivery.spool.discards import Discards
from experiment_framework._delivery.spool.errors import Trouble
from experiment_framework._delivery.spool.frames import HEADER_BYTES, MAX_BODY
from experiment_framework._delivery.spool.own_folder import OwnFolder, sync_folder
from experiment_framework._delivery.spool.segment import Place, Segment, Tally
from experiment_framework.errors import RecordTooLargeError, SpoolError, SpoolFullError

__all__ = ["Policy", "Segments", "Unsynced"]

_OWN_SERIALS: Final = 1 << 32
"""Where the serials of this process's segments begin: behind all that it adopts."""

_FEWEST_SEGMENTS: Final = 16
"""Into how many segments a spool that is full is divided at least: what is dropped at once."""

_SMALLEST_SEGMENT: Final = 4096


class Policy(NamedTuple):
    """How much room segments take.

    Attributes:
        max_bytes: How many bytes they may have together.
        segment_bytes: Size at which another one is begun, at most.
        drops_oldest: Whether the oldest one makes room for a record, where there is no other.
        syncs_each: Whether a record is on the disk when it was appended, and its file before it.
    """

    max_bytes: int
    segment_bytes: int
    drops_oldest: bool
    syncs_each: bool


class Unsynced(NamedTuple):
    """What is to be put on the disk since that was last asked.

    Attributes:
        finished: Segments that are to be deleted.
        retired: Descriptors of those that were sealed: to be synced and closed.
        appended_to: Descriptors of those that are still appended to.
        folder: Where files are new; None where there are none.
    """

    finished: list[Segment]
    retired: list[int]
    appended_to: list[int]
    folder: Path | None


class Segments:
    """Knows which segment is appended to, and lets go of those of which no record is left.

    Its methods are called under the spool's lock.

    Attributes:
        by_serial: All of them.
        unread: Those of which not all was handed out, oldest first.
        active: The one that is appended to.
        front: The one whose records are older than all that this process appends otherwise, and
            younger than what was adopted.
        tally: The sums over all of them.

    Args:
        folder: Where they are made.
        trouble: Is told of what the disk complains about.
        discards: Is given what is dropped.
        policy: How much room they take.
    """

    def __init__(
        self, folder: OwnFolder, trouble: Trouble, discards: Discards, policy: Policy
    ) -> None:
        self.by_serial: dict[int, Segment] = {}
        self.unread: list[Segment] = []
        self.active: Segment | None = None
        self.front: Segment | None = None
        smallest_share = max(policy.max_bytes // _FEWEST_SEGMENTS, _SMALLEST_SEGMENT)
        self.tally = Tally(policy.max_bytes)
        self._folder = folder
        self._trouble = trouble
        self._discards = discards
        self._segment_bytes = min(policy.segment_bytes, smallest_share)
        self._drops_oldest = policy.drops_oldest
        self._syncs_each = policy.syncs_each
        self._unsealed: list[Segment] = []
        self._retired: list[int] = []
        self._finished: list[Segment] = []
        self._next_own = _OWN_SERIALS
        self._next_adopted = 0
        self._is_new_file = False

    def appended_to(self) -> list[Segment]:
        """Give those that are appended to."""
        return [segment for segment in (self.front, self.active) if segment is not None]

    def make_room(self, length: int, *, before: bool) -> Segment:
        """Give a segment that has room for a body so long; the front one for ``before``.

        Raises:
            SpoolFullError: There is no room, and the oldest segment is not to be dropped.
            RecordTooLargeError: There never will be.
            SpoolError: The disk does not take another file.
        """
        max_bytes = self.tally.max_bytes
        longest = min(max_bytes - HEADER_BYTES, MAX_BODY)
        if length > longest:
            raise RecordTooLargeError(length, longest)
        size = length + HEADER_BYTES
        while self.tally.bytes + size > max_bytes:
            emptied = [each for each in self.appended_to() if not each.pending and each.count]
            for segment in emptied:
                self.retire(segment)
            if emptied:
                continue
            if not self._drops_oldest:
                raise SpoolFullError(self.tally.bytes, max_bytes)
            self._drop(self.by_serial[min(self.by_serial)])
        latest = self.front if before else self.active
        if latest is None or (latest.count and latest.end + size > latest.limit):
            latest = self._begin(before=before)
        if not latest.count:  # one that is larger than others gets a segment of its own
            latest.limit = max(self._segment_bytes, size)
        return latest

    def adopt(self, path: Path) -> int:
        """Take over a segment of a process that died; say how many records are left in it."""
        serial = self._next_serial(before=True)
        try:
            segment = Segment.adopt(path, serial, self.tally)
        except OSError as error:
            self._trouble.note(error)
            return 0
        self._add(segment)
        recovered = segment.pending
        self.settle(segment)
        return recovered

    def failed(self, segment: Segment | None, error: OSError) -> SpoolError:
        """Append no more to a segment that the disk has not taken a record for; say why not."""
        if segment is not None and segment.count:
            # A disk that is full gets room again only by files that are deleted, and only one that
            # is not appended to any more is.
            self.retire(segment)
        return self._trouble.note(error)

    def finish(self, places: Iterable[Place]) -> int:
        """Forget records; say how many of them were there still."""
        count = 0
        by_serial = self.by_serial
        for place in places:
            segment = by_serial.get(place.serial)
            if segment is not None and segment.finish(place.index):
                count += 1
                if not segment.pending:
                    self.settle(segment)
        return count

    def retire_all(self) -> None:
        """Append no more to those that are appended to."""
        for segment in self.appended_to():
            self.retire(segment)

    def retire(self, segment: Segment) -> None:
        """Append no more to a segment, if any is appended to it."""
        if segment is self.front:
            self.front = None
        elif segment is self.active:
            self.active = None
        else:
            return
        self._seal(segment)

    def settle(self, segment: Segment) -> None:
        """Let go of a segment of which no record is left."""
        if segment.pending or not segment.is_sealed:
            return
        if self._remove(segment):
            self._finish(segment)

    def take_unsynced(self) -> Unsynced:
        """Give what is to be put on the disk, which is the caller's to do from now on."""
        unsealed, self._unsealed = self._unsealed, []
        for segment in unsealed:
            self._seal(segment)
        finished, self._finished = self._finished, []
        retired, self._retired = self._retired, []
        is_new_file, self._is_new_file = self._is_new_file, False
        folder = self._folder.path if is_new_file else None
        appended_to = [segment.descriptor for segment in self.appended_to()]
        return Unsynced(finished, retired, appended_to, folder)

    def give_back(self, finished: list[Segment]) -> None:
        """Have segments deleted later, because that has failed."""
        self._finished += finished

    def after_fork(self) -> None:
        """Let go of the parent's files, in a child: all of them, written and deleted by none."""
        descriptors = [segment.seal() for segment in self.appended_to()]
        for descriptor in [*descriptors, *self._retired]:
            with suppress(OSError):
                os.close(descriptor)
        self.active = self.front = None
        for kept in (self.by_serial, self.unread, self._unsealed, self._retired, self._finished):
            kept.clear()

    def _begin(self, *, before: bool) -> Segment:
        serial = self._next_serial(before=before)
        # Names sort by age, for whoever adopts the folder: a hyphen comes before every digit.
        name = f"-{serial:08d}.segment" if before else f"{serial - _OWN_SERIALS:08d}.segment"
        folder = self._folder.require()
        try:
            try:
                segment = Segment.create(folder / name, serial, self.tally)
            except FileNotFoundError:  # somebody has deleted the folder: another one will do
                folder = self._folder.move()
                segment = Segment.create(folder / name, serial, self.tally)
        except OSError as error:
            raise self._trouble.note(error) from error
        self._is_new_file = True
        self._add(segment)
        if before:
            previous, self.front = self.front, segment
        else:
            previous, self.active = self.active, segment
        if previous is not None:
            self._seal(previous)
        if self._syncs_each:
            try:
                sync_folder(folder)
            except OSError as error:
                self.retire(segment)
                raise self._trouble.note(error) from error
        return segment

    def _next_serial(self, *, before: bool) -> int:
        if before:  # behind what was adopted, before all that is this process's own
            serial = self._next_adopted
            self._next_adopted = serial + 1
            return serial
        serial = self._next_own
        self._next_own = serial + 1
        return serial

    def _seal(self, segment: Segment) -> None:
        if segment.writing:  # a signal handler has come in between: at the next sync
            self._unsealed.append(segment)
            return
        self._retired.append(segment.seal())
        self.settle(segment)

    def _drop(self, segment: Segment) -> None:
        """Let go of a segment although records are left in it."""
        self.retire(segment)
        if self._remove(segment):
            # First: in no moment a record is counted both as waiting and as dropped.
            self._finish(segment)
            self._discards.add(segment)

    def _add(self, segment: Segment) -> None:
        self.by_serial[segment.serial] = segment
        insort(self.unread, segment, key=lambda other: other.serial)

    def _remove(self, segment: Segment) -> bool:
        if self.by_serial.pop(segment.serial, None) is None:
            return False
        if segment in self.unread:
            self.unread.remove(segment)
        return True

    def _finish(self, segment: Segment) -> None:
        segment.forget()
        self._finished.append(segment)
