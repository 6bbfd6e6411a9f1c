"""The store: appends, gives out, forgets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import Literal, TypeAlias

from experiment_framework._delivery.spool.discards import Discards
from experiment_framework._delivery.spool.durability import Durability
from experiment_framework._delivery.spool.errors import Trouble
from experiment_framework._delivery.spool.forking import let_go_after_fork
from experiment_framework._delivery.spool.handout import HandOut
from experiment_framework._delivery.spool.own_folder import OwnFolder
from experiment_framework._delivery.spool.segment import PASSED, WAITING, Place
from experiment_framework._delivery.spool.segments import Policy, Segments
from experiment_framework._delivery.spool.syncer import MOST_UNSYNCED
from experiment_framework.envelope import Record
from experiment_framework.errors import SpoolError

__all__ = ["Fsync", "Spool", "WhenFull"]

Fsync: TypeAlias = Literal["group", "always", "never"]
WhenFull: TypeAlias = Literal["reject", "dropOldest"]


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
        self._syncs = fsync != "never"
        self._syncs_each = fsync == "always"
        self._policy = Policy(
            max_bytes, segment_bytes, when_full == "dropOldest", syncs_each=self._syncs_each
        )
        self._folder = OwnFolder(self.directory)
        self._start_empty()
        let_go_after_fork(self)

    def _start_empty(self) -> None:
        self.lock = RLock()
        self._trouble = Trouble(self.directory)
        self._discards = Discards(self.lock)
        self._segments = Segments(self._folder, self._trouble, self._discards, self._policy)
        self._hand_out = HandOut(self.directory, self.lock, self._segments, self._trouble)
        self._durability = Durability(
            self._segments, self._folder, self._trouble, self.lock, syncs=self._syncs
        )

    def open(self) -> None:
        """Make this process's folder and adopt those of processes that died.

        Raises:
            SpoolError: The directory cannot be used; the message says why and what to do.
        """
        if self._folder.open():
            self.adopt()

    def adopt(self) -> int:
        """Take over what processes that died have left; to be called now and then.

        Returns:
            How many records that is. They are counted in `recovered` too.

        Raises:
            SpoolError: The directory cannot be used.
        """
        recovered = 0
        for path in self._folder.adopt():
            with self.lock:
                recovered += self._segments.adopt(path)
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
        state = PASSED if passed else WAITING
        with self.lock:
            segments = self._segments
            segment = segments.front if before else segments.active
            try:
                while segment is None or (place := segment.append(body, state)) is None:
                    segment = self._segments.make_room(len(body), before=before)
                if self._syncs_each:
                    self._durability.sync_append(segment, place)
            except OSError as error:
                raise self._segments.failed(segment, error) from error
            durability = self._durability
            durability.unsynced = unsynced = durability.unsynced + 1
        if unsynced == 1:
            durability.syncer.wake()
        elif unsynced == MOST_UNSYNCED:
            durability.syncer.hurry()
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
        durability = self._durability
        with self.lock:
            count = self._segments.finish(places)
            wakes = count and not durability.is_acknowledged
            if wakes:
                durability.is_acknowledged = True
        if wakes:
            durability.syncer.wake()
        return count

    def release(self, place: Place) -> bool:
        """Have a record handed out again, before all younger ones.

        Returns:
            False where the spool does not have it any more: it is the caller's to account for.
        """
        return self._hand_out.release(place)

    def next_batch(self, most: int) -> list[tuple[Place, Record]]:
        """Hand out the oldest records that nobody has, at most so many.

        One reader at a time: another one meanwhile gets nothing.

        Raises:
            SpoolError: The disk cannot be read.
        """
        return self._hand_out.take(most)

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
        self._durability.sync()

    def close(self) -> None:
        """Let go of the folder. What is left in it is found by whoever opens the spool next."""
        if not self._folder.close():
            return
        self._durability.syncer.stop()
        with self.lock:
            self._segments.retire_all()
        with suppress(SpoolError):
            self.sync()
        self._hand_out.close()
        self._discards.close()
        self._folder.remove_if_empty()

    def after_fork(self) -> None:
        """Let go of what is the parent's, in the child; called by itself after ``os.fork``.

        Nothing is unlocked, written or deleted.
        """
        self._hand_out.after_fork()
        self._discards.after_fork()
        self._segments.after_fork()
        self._folder.let_go()
        self._start_empty()

    @property
    def trouble(self) -> str | None:
        """What the disk complained about lately, for a person."""
        return self._trouble.text

    @property
    def depth(self) -> int:
        """How many records are not acknowledged, those that were handed out among them."""
        return self._segments.tally.depth

    @property
    def waiting(self) -> int:
        """How many of these nobody has."""
        return self._segments.tally.waiting

    @property
    def recovered(self) -> int:
        """How many records of processes that died were taken over, corrupt ones among them."""
        return self._segments.tally.recovered

    @property
    def bytes(self) -> int:
        """How many bytes this process's segments have, with those it adopted."""
        return self._segments.tally.bytes

    @property
    def fill(self) -> float:
        """How full it is, as a share of ``max_bytes``."""
        return self._segments.tally.bytes / self._segments.tally.max_bytes

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
