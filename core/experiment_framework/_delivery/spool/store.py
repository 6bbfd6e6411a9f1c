"""The store: appends, gives out, forgets."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Condition, RLock
from typing import Final, Literal, TypeAlias

from experiment_framework._delivery.spool.discards import Discards
from experiment_framework._delivery.spool.errors import spool_error
from experiment_framework._delivery.spool.frames import HEADER_BYTES, MAX_BODY
from experiment_framework._delivery.spool.handout import HandOut
from experiment_framework._delivery.spool.home import (
    Home,
    adopt_orphans,
    make_directory,
    make_home,
    remove_empty,
)
from experiment_framework._delivery.spool.segment import PASSED, WAITING, Place, Segment, Tally
from experiment_framework._delivery.spool.syncer import MOST_UNSYNCED, Syncer
from experiment_framework.envelope import Record
from experiment_framework.errors import RecordTooLargeError, SpoolError, SpoolFullError

__all__ = ["Fsync", "Spool", "WhenFull"]

Fsync: TypeAlias = Literal["group", "always", "never"]
WhenFull: TypeAlias = Literal["reject", "dropOldest"]

_OWN_SERIALS: Final = 1 << 32
"""Where the serials of this process's segments begin: behind all that it adopts."""

_FEWEST_SEGMENTS: Final = 16
"""Into how many segments a spool that is full is divided at least: what is dropped at once."""

_SMALLEST_SEGMENT: Final = 4096
_STORE_INTERVAL: Final = 0.2
"""Seconds between two times at which acknowledgements are stored."""

_STORE_BYTES: Final = 8 * 2**20
"""Appended bytes after which a segment's counts are stored, so that a recovery reads little."""


class Spool:
    """Keeps records in files of this process until they are acknowledged.

    Safe to use from several threads, from signal handlers, and in a forked child: the child has
    nothing of its parent's and makes a folder of its own when it first appends.

    A record is with the operating system when `append` returns: it survives the process, however
    that ends. What a power cut may take depends on ``fsync``: nothing (``always``), what was
    appended since the last sync, which begins 0.05 s or 1000 records after the first record that
    is not synced (``group``), or whatever the operating system had not written yet (``never``).

    Records are given back at least once. After a crash those come again whose acknowledgement was
    not stored yet, which happens every 0.2 s.

    Attributes:
        directory: The declared folder.
        recovered: How many records of processes that died were taken over; what turns out to be
            corrupt of them is among them.
        trouble: What the disk complained about lately, for a person.
        lock: Held over several calls, it makes them one; another one in a forked child.

    Args:
        directory: The folder that processes share; each makes its own in it.
        max_bytes: How many bytes of records this process may keep, with those it adopted.
        when_full: Whether a new record is refused then, or the oldest segment (at most a
            sixteenth) is dropped.
        fsync: See above.
        segment_bytes: Size at which a new file is begun.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        max_bytes: int,
        when_full: WhenFull,
        fsync: Fsync,
        segment_bytes: int = 64 * 2**20,
    ) -> None:
        self.directory = Path(directory).absolute()
        self._max_bytes = max_bytes
        self._when_full = when_full
        self._fsync = fsync
        smallest_share = max(max_bytes // _FEWEST_SEGMENTS, _SMALLEST_SEGMENT)
        self._segment_bytes = min(segment_bytes, smallest_share)
        self._is_open = False
        self._start_empty()
        _open_spools.add(self)

    def _start_empty(self) -> None:
        self.lock = RLock()
        self._syncing = RLock()
        self._is_syncing = False
        self._tally = Tally()
        self._home: Home | None = None
        self._segments: dict[int, Segment] = {}
        self._active: Segment | None = None
        self._front: Segment | None = None
        self._unsealed: list[Segment] = []
        self._retired: list[int] = []
        self._finished: list[Segment] = []
        self._next_own = _OWN_SERIALS
        self._next_adopted = 0
        self._unsynced = 0
        self._is_new_file = False
        self._is_acknowledged = False
        self._stored_at = 0.0
        self._hand_out = HandOut(self.directory, self.lock, self._settle)
        self._discards = Discards()
        self._syncer = Syncer(self._sync_quietly)
        self.recovered = 0
        self.trouble: str | None = None
        self._is_troubled = False

    def open(self) -> None:
        """Make this process's folder and adopt those of processes that died.

        Raises:
            SpoolError: The directory cannot be used; the message says why and what to do.
        """
        if self._is_open:
            return
        make_directory(self.directory)
        self._home = make_home(self.directory)
        self._is_open = True
        self.adopt()

    def adopt(self) -> int:
        """Take over what processes that died have left; to be called now and then.

        Returns:
            How many records that is. They are counted in `recovered` too.

        Raises:
            SpoolError: The directory cannot be used.
        """
        home = self._require_home()
        recovered = 0
        for folder in adopt_orphans(self.directory, home):
            for path in sorted(folder.glob("*.segment")):
                recovered += self._adopt_segment(path)
            remove_empty(folder)
        with self.lock:
            self.recovered += recovered
        return recovered

    def append(self, record: Record, *, passed: bool = False, before: bool = False) -> Place:
        """Keep a record; it is with the operating system when this returns.

        Args:
            record: What to keep.
            passed: The caller has it delivered at once: it is not handed out unless it is
                released.
            before: It is older than what this process has appended so far, and younger than what
                was appended before others so far: it is handed out between the two.

        Raises:
            SpoolFullError: There is no room for it, and the oldest is not to be dropped.
            RecordTooLargeError: There never will be.
            SpoolError: The disk does not take it.
        """
        body = record.body
        size = len(body) + HEADER_BYTES
        state = PASSED if passed else WAITING
        with self.lock:
            active = self._front if before else self._active
            if (
                active is None
                or active.end + size > self._segment_bytes
                or self._tally.bytes + size > self._max_bytes
            ):
                active = self._make_room(size, before=before)
            try:
                while (place := active.append(body, state)) is None:
                    active = self._make_room(size, before=before)
                if self._fsync == "always":
                    self._sync_append(active, place)
            except OSError as error:
                if active.count:
                    # A disk that is full gets room again only by files that are deleted, and only
                    # one that is not appended to any more is.
                    self._retire(active)
                raise self._troubled(error) from error
            self._unsynced = unsynced = self._unsynced + 1
        if unsynced == 1:
            self._syncer.wake()
        elif unsynced == MOST_UNSYNCED:
            self._syncer.hurry()
        return place

    def acknowledge(self, place: Place) -> bool:
        """Forget a record; a segment of which none is left is deleted.

        Returns:
            False where the spool did not have it any more.
        """
        return self.acknowledge_all((place,)) == 1

    def acknowledge_all(self, places: Iterable[Place]) -> int:
        """Forget records; segments of which none is left are deleted.

        Returns:
            How many of them the spool still had.
        """
        count = 0
        with self.lock:
            segments = self._segments
            for place in places:
                segment = segments.get(place.serial)
                if segment is not None and segment.finish(place.index):
                    count += 1
                    if not segment.pending:
                        self._settle(segment)
            wakes = count and not self._is_acknowledged
            if wakes:
                self._is_acknowledged = True
        if wakes:
            self._syncer.wake()
        return count

    def release(self, place: Place) -> bool:
        """Have a record handed out again, before all younger ones.

        Returns:
            False where the spool does not have it any more: it is the caller's to account for.
        """
        with self.lock:
            segment = self._segments.get(place.serial)
            if segment is None or not segment.give_back(place):
                return False
            if place.offset < segment.read_to:  # else it is read with those around it
                self._hand_out.give_back(place)
            return True

    def next_batch(self, most: int) -> list[tuple[Place, Record]]:
        """Hand out the oldest records that nobody has, at most so many.

        One reader at a time: another one meanwhile gets nothing.

        Raises:
            SpoolError: The disk cannot be read.
        """
        try:
            return self._hand_out.take(most, self._segments)
        except OSError as error:
            raise self._troubled(error) from error

    def pending(self) -> Iterator[tuple[Place, Record]]:
        """Hand out records, oldest first, until nobody waits for any.

        Raises:
            SpoolError: The disk cannot be read.
        """
        while batch := self.next_batch(1):
            yield from batch

    def take_discarded(self, most: int) -> list[Record]:
        """Give records that were dropped for lack of room, so that they can be told apart.

        The last few segments that were dropped are readable; `discarded` counts them all.
        """
        return self._discards.take(most)

    def sync(self) -> None:
        """Put on the disk now what the syncer would put there soon.

        In a signal handler that has interrupted the spool, it is left to the syncer.

        Raises:
            SpoolError: The disk does not take it.
        """
        try:
            self._sync(everything=True)
        except OSError as error:
            raise self._troubled(error) from error

    def close(self) -> None:
        """Let go of the folder. What is left in it is found by whoever opens the spool next."""
        if not self._is_open:
            return
        self._is_open = False
        self._syncer.stop()
        with self.lock:
            for segment in self._appended_to():
                self._retire(segment)
        with suppress(SpoolError):
            self.sync()
        self._hand_out.close()
        self._discards.close()
        if self._home is not None:
            self._home.remove_if_empty()
            self._home = None

    def after_fork(self) -> None:
        """Let go of what is the parent's, in the child; called by itself after ``os.fork``.

        Nothing is unlocked, written or deleted.
        """
        self._hand_out.after_fork()
        self._discards.close()
        for segment in self._appended_to():
            _close(segment.seal())
        for descriptor in self._retired:
            _close(descriptor)
        if self._home is not None:
            self._home.let_go()
        self._start_empty()

    @property
    def depth(self) -> int:
        """How many records are not acknowledged, those that were handed out among them."""
        return self._tally.depth

    @property
    def bytes(self) -> int:
        """How many bytes this process's segments have, with those it adopted."""
        return self._tally.bytes

    @property
    def fill(self) -> float:
        """How full it is, as a share of ``max_bytes``."""
        return self._tally.bytes / self._max_bytes

    @property
    def corrupt(self) -> int:
        """How many records turned out to be unreadable; their bytes are kept aside."""
        return self._hand_out.corrupt

    @property
    def discarded(self) -> int:
        """How many waiting records were dropped for lack of room."""
        return self._discards.count

    @property
    def untold(self) -> int:
        """How many of these `take_discarded` will never give."""
        return self._discards.untold

    def _require_home(self) -> Home:
        if not self._is_open:
            raise SpoolError(self.directory, "it is not open", "open it first")
        if self._home is None:  # a forked child
            self._home = make_home(self.directory)
        return self._home

    def _move(self) -> Home:
        if self._home is not None:
            self._home.let_go()
            self._home = None
        make_directory(self.directory)
        return self._require_home()

    def _adopt_segment(self, path: Path) -> int:
        with self.lock:
            serial = self._next_adopted
            self._next_adopted = serial + 1
            try:
                segment = Segment.adopt(path, serial, self._tally)
            except OSError as error:
                self._troubled(error)
                return 0
            self._segments[serial] = segment
            self._hand_out.add(segment)
            recovered = segment.pending
            self._settle(segment)
        return recovered

    def _make_room(self, size: int, *, before: bool) -> Segment:
        """Give a segment that has room for so many bytes."""
        limit = min(self._max_bytes, MAX_BODY + HEADER_BYTES)
        if size > limit:
            raise RecordTooLargeError(size - HEADER_BYTES, limit - HEADER_BYTES)
        while self._tally.bytes + size > self._max_bytes:
            emptied = [each for each in self._appended_to() if not each.pending and each.count]
            for segment in emptied:
                self._retire(segment)
            if emptied:
                continue
            if self._when_full == "reject":
                raise SpoolFullError(self._tally.bytes, self._max_bytes)
            oldest = self._segments[min(self._segments)]
            self._retire(oldest)
            self._drop(oldest)
        active = self._front if before else self._active
        if active is not None and (not active.count or active.end + size <= self._segment_bytes):
            return active
        return self._begin_segment(before=before)

    def _begin_segment(self, *, before: bool) -> Segment:
        serial = self._next_serial(before=before)
        # Names sort by age, for whoever adopts the folder: a hyphen comes before every digit.
        name = f"-{serial:08d}.segment" if before else f"{serial - _OWN_SERIALS:08d}.segment"
        home = self._require_home()
        try:
            try:
                segment = Segment.create(home.path / name, serial, self._tally)
            except FileNotFoundError:  # somebody has deleted the folder: another one will do
                home = self._move()
                segment = Segment.create(home.path / name, serial, self._tally)
        except OSError as error:
            raise self._troubled(error) from error
        self._is_new_file = True
        self._segments[serial] = segment
        self._hand_out.add(segment)
        if before:
            previous, self._front = self._front, segment
        else:
            previous, self._active = self._active, segment
        if previous is not None:
            self._seal(previous)
        if self._fsync == "always":
            _sync_folder(home.path)
        return segment

    def _next_serial(self, *, before: bool) -> int:
        if before:  # behind what was adopted, before all that is this process's own
            serial = self._next_adopted
            self._next_adopted = serial + 1
            return serial
        serial = self._next_own
        self._next_own = serial + 1
        return serial

    def _appended_to(self) -> list[Segment]:
        return [segment for segment in (self._front, self._active) if segment is not None]

    def _retire(self, segment: Segment) -> None:
        """Append no more to a segment, if any is appended to it."""
        if segment is self._front:
            self._front = None
        elif segment is self._active:
            self._active = None
        else:
            return
        self._seal(segment)

    def _seal(self, segment: Segment) -> None:
        if segment.writing:  # a signal handler has come in between: at the next sync
            self._unsealed.append(segment)
            return
        self._retired.append(segment.seal())
        self._settle(segment)

    def _seal_belated(self) -> None:
        unsealed, self._unsealed = self._unsealed, []
        for segment in unsealed:
            self._seal(segment)

    def _settle(self, segment: Segment) -> None:
        """Let go of a segment of which no record is left."""
        if segment.pending or not segment.is_sealed:
            return
        if self._segments.pop(segment.serial, None) is not None:
            self._hand_out.discard(segment)
            segment.forget()
            self._finished.append(segment)

    def _drop(self, segment: Segment) -> None:
        """Let go of a segment although records are left in it."""
        if self._segments.pop(segment.serial, None) is None:
            return
        self._hand_out.discard(segment)
        self._discards.add(segment)
        segment.forget()
        self._finished.append(segment)

    def _sync_append(self, segment: Segment, place: Place) -> None:
        try:
            os.fdatasync(segment.descriptor)
        except OSError:
            segment.finish(place.index)
            raise

    def _troubled(self, error: OSError) -> SpoolError:
        trouble = spool_error(self.directory, error)
        self.trouble = str(trouble)
        self._is_troubled = True
        return trouble

    def _sync_quietly(self) -> None:
        now = time.monotonic()
        everything = now - self._stored_at >= _STORE_INTERVAL
        try:
            self._sync(everything=everything)
        except OSError as error:
            self._troubled(error)
        if not everything and self._is_acknowledged:
            self._syncer.wake()

    def _sync(self, *, everything: bool) -> None:
        if _is_held(self.lock):  # a signal handler has come in between: the syncer will do it
            return
        with self._syncing:
            if self._is_syncing:  # by this very thread
                return
            self._is_syncing = True
            was_troubled, self._is_troubled = self._is_troubled, False
            try:
                self._sync_files()
                if everything:
                    self._store_states()
            finally:
                self._is_syncing = False
            if not was_troubled:
                self.trouble = None

    def _sync_files(self) -> None:
        with self.lock:
            self._seal_belated()
            retired, self._retired = self._retired, []
            finished, self._finished = self._finished, []
            self._unsynced = 0
            active = [segment.descriptor for segment in self._appended_to()]
            folder = self._home.path if self._home is not None and self._is_new_file else None
            self._is_new_file = False
        try:
            self._delete(finished)
            if self._fsync != "never":
                for descriptor in [*retired, *active]:
                    if descriptor >= 0:
                        os.fdatasync(descriptor)
                if folder is not None:
                    _sync_folder(folder)
        finally:
            for descriptor in retired:
                _close(descriptor)

    def _delete(self, finished: list[Segment]) -> None:
        home = self._home.path if self._home is not None else None
        while finished:
            segment = finished[-1]
            try:
                segment.delete()
            except OSError:
                self._finished += finished
                raise
            finished.pop()
            if segment.path.parent != home:
                remove_empty(segment.path.parent)

    def _store_states(self) -> None:
        self._stored_at = time.monotonic()
        with self.lock:
            self._is_acknowledged = False
            for segment in self._appended_to():
                if segment.end - segment.stored_end > _STORE_BYTES:
                    segment.is_changed = True
            states = [
                (segment, state)
                for segment in list(self._segments.values())
                if (state := segment.snapshot()) is not None
            ]
        for segment, state in states:
            segment.store(state)


_open_spools: weakref.WeakSet[Spool] = weakref.WeakSet()


def _after_fork() -> None:
    for spool in list(_open_spools):
        spool.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _is_held(lock: RLock) -> bool:
    """Whether the calling thread holds a lock."""
    try:
        Condition(lock).notify()
    except RuntimeError:
        return False
    return True


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        with suppress(OSError):
            os.close(descriptor)
