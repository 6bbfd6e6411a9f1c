"""Puts on the disk what a spool has: syncs, stores what is acknowledged, deletes what is done."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from threading import Condition, RLock
from typing import Final

from experiment_framework._delivery.spool.errors import Trouble
from experiment_framework._delivery.spool.folders import remove_empty
from experiment_framework._delivery.spool.own_folder import OwnFolder, sync_folder
from experiment_framework._delivery.spool.segment import Place, Segment
from experiment_framework._delivery.spool.segments import Segments, Unsynced
from experiment_framework._delivery.spool.syncer import Syncer
from experiment_framework.errors import SpoolError

__all__ = ["Durability"]

_STORE_INTERVAL: Final = 0.2
"""Seconds between two times at which acknowledgements are stored."""

_STORE_BYTES: Final = 8 * 2**20
"""Appended bytes after which a segment's counts are stored, so that a recovery reads little."""


class Durability:
    """Does in the background, or when it is asked, what appends and acknowledgements leave to it.

    One thread at a time syncs. It takes the spool's lock for moments in between, never the other
    way round: files are written and deleted while others append.

    Attributes:
        unsynced: How many records were appended since a sync began; counted by whoever appends,
            under the spool's lock.
        is_acknowledged: Whether acknowledgements are to be stored; set under the spool's lock.
        syncer: The thread, for those who have something for it.

    Args:
        segments: What is put on the disk.
        folder: Where this process's own segments are.
        trouble: Is told of what the disk complains about.
        lock: The spool's lock.
        syncs: Whether what is written is synced.
    """

    def __init__(
        self, segments: Segments, folder: OwnFolder, trouble: Trouble, lock: RLock, *, syncs: bool
    ) -> None:
        self.unsynced = 0
        self.is_acknowledged = False
        self.syncer = Syncer(self._sync_quietly)
        self._segments = segments
        self._folder = folder
        self._trouble = trouble
        self._lock = lock
        self._syncs = syncs
        self._syncing = RLock()
        self._is_syncing = False
        self._stored_at = 0.0

    def sync(self, *, everything: bool = True) -> None:
        """Put on the disk what is not there yet; where a signal handler asks, the syncer does it.

        Args:
            everything: What is acknowledged too.

        Raises:
            SpoolError: The disk does not take it.
        """
        if _is_held(self._lock):  # a signal handler has come in between: the syncer will do it
            return
        with self._syncing:
            if self._is_syncing:  # by this very thread
                return
            self._is_syncing = True
            was_troubled = self._trouble.take_news()
            try:
                self._sync_files()
                if everything:
                    self._store_states()
            except OSError as error:
                raise self._trouble.note(error) from error
            finally:
                self._is_syncing = False
            if not was_troubled:
                self._trouble.clear()

    @staticmethod
    def sync_append(segment: Segment, place: Place) -> None:
        """Put a record on the disk that was just appended; called under the spool's lock.

        Raises:
            OSError: The disk does not take it; the record is not kept then.
        """
        try:
            os.fdatasync(segment.descriptor)
        except OSError:
            segment.finish(place.index)
            raise

    def _sync_quietly(self) -> None:
        now = time.monotonic()
        everything = now - self._stored_at >= _STORE_INTERVAL
        with suppress(SpoolError):  # noted
            self.sync(everything=everything)
        if not everything and self.is_acknowledged:
            self.syncer.wake()

    def _sync_files(self) -> None:
        with self._lock:
            self.unsynced = 0  # first: what a signal handler appends from now on wakes the syncer
            unsynced = self._segments.take_unsynced()
        try:
            self._delete(unsynced.finished)
            if self._syncs:
                _sync_written(unsynced)
        finally:
            for descriptor in unsynced.retired:
                with suppress(OSError):
                    os.close(descriptor)

    def _delete(self, finished: list[Segment]) -> None:
        own = self._folder.path
        # The oldest first: what a kill leaves to be repeated is the end of what was sent.
        for position, segment in enumerate(finished):
            try:
                segment.delete()
            except OSError:
                self._segments.give_back(finished[position:])
                raise
            if segment.path.parent != own:
                remove_empty(segment.path.parent)

    def _store_states(self) -> None:
        self._stored_at = time.monotonic()
        with self._lock:
            self.is_acknowledged = False
            for segment in self._segments.appended_to():
                if segment.end - segment.stored_end > _STORE_BYTES:
                    segment.is_changed = True
            states = [
                (segment, state)
                for segment in list(self._segments.by_serial.values())
                if (state := segment.snapshot()) is not None
            ]
        for segment, state in states:
            segment.store(state)


def _sync_written(unsynced: Unsynced) -> None:
    for descriptor in [*unsynced.retired, *unsynced.appended_to]:
        if descriptor >= 0:
            os.fdatasync(descriptor)
    if unsynced.folder is not None:
        sync_folder(unsynced.folder)


def _is_held(lock: RLock) -> bool:
    """Whether the calling thread holds a lock."""
    try:
        Condition(lock).notify()
    except RuntimeError:
        return False
    return True
