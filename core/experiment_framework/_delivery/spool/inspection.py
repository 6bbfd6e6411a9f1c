"""Looks into a spool, also while processes use it; changes nothing of theirs.

What a process uses goes on changing: each segment is seen as it was at one moment, and what has
been delivered and deleted in the meantime is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from experiment_framework._delivery.spool.aside import CORRUPT
from experiment_framework._delivery.spool.errors import spool_error
from experiment_framework._delivery.spool.frames import HEADER_BYTES, Frame, Gap, frames
from experiment_framework._delivery.spool.home import (
    folders_of,
    process_of,
    remove_orphan,
    with_owners,
)
from experiment_framework._delivery.spool.recovery import survey
from experiment_framework._delivery.spool.state import StoredState, read_state
from experiment_framework.envelope import Record
from experiment_framework.errors import DecodeError, SpoolError

__all__ = [
    "Damage",
    "Folder",
    "KeptAside",
    "SegmentView",
    "Waiting",
    "folders_in",
    "kept_aside",
    "remove_orphan",
    "segments_of",
]

DamageKind: TypeAlias = Literal["unreadable", "cutShort", "noEnvelope"]


class Folder(msgspec.Struct, frozen=True):
    """The folder of one process.

    Attributes:
        directory: The declared directory.
        path: Where the folder is; below another one where that one's process has adopted it.
        process_id: Of the process that it belongs to now, or belonged to last.
        is_alive: Whether that process is there.
    """

    directory: Path
    path: Path
    process_id: int
    is_alive: bool

    @property
    def name(self) -> str:
        """The path seen from the declared directory."""
        return str(self.path.relative_to(self.directory))


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A record that is not acknowledged.

    Attributes:
        place: Folder, segment and offset, for a person.
        record: The record.
    """

    place: str
    record: Record


class Damage(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A stretch of a segment that is no record.

    Attributes:
        segment: Folder and file.
        start: Offset of its first byte.
        end: Offset behind its last byte.
        kind: ``unreadable`` bytes, a last write that was ``cutShort`` (it was never answered, so
            nothing is lost by it), or a whole frame with ``noEnvelope`` in it.
    """

    segment: str
    start: int
    end: int
    kind: DamageKind


class KeptAside(msgspec.Struct, frozen=True):
    """Bytes that a process could not read, kept for inspection.

    Attributes:
        path: The file.
        size: In bytes.
        folder: The name of the folder they were found in.
    """

    path: Path
    size: int
    folder: str


class SegmentView:
    """A segment as it was at one moment.

    Attributes:
        name: Folder and file, seen from the declared directory.
        size: In bytes.
        records: How many records are not acknowledged.
        lost: How many of them cannot be read; known when `contents` has been gone through.
    """

    def __init__(self, folder: Folder, path: Path, state: StoredState) -> None:
        self.name = f"{folder.name}/{path.name}"
        self.size = state.end
        self.records = state.pending
        self.lost = 0
        self._path = path
        self._state = state
        self._is_alive = folder.is_alive

    def contents(self) -> Generator[Waiting | Damage]:
        """Read it from the beginning, frame by frame; what is acknowledged is checked only.

        A write that is under way is passed over.

        Raises:
            SpoolError: The disk cannot be read.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unreadable(self._path, error) from error
        lost = self.records
        try:
            for item in frames(descriptor, 0, self.size):
                found = self._look_at(item)
                lost -= isinstance(found, Waiting)
                if found is not None:
                    yield found
            self.lost = lost
        except OSError as error:
            raise _unreadable(self._path, error) from error
        finally:
            os.close(descriptor)

    def oldest(self) -> datetime | None:
        """Say when the oldest record that waits here happened; None where none is readable.

        Raises:
            SpoolError: The disk cannot be read.
        """
        if not self.records:
            return None
        with closing(self.contents()) as contents:
            waiting = (item for item in contents if isinstance(item, Waiting))
            first = next(waiting, None)
            return first.record.timestamp if first is not None else None

    def _look_at(self, item: Frame | Gap) -> Waiting | Damage | None:
        if isinstance(item, Gap):
            if item.is_torn and self._is_alive:
                return None
            kind: DamageKind = "cutShort" if item.is_torn else "unreadable"
            return Damage(self.name, item.start, item.end, kind)
        if self._state.is_done(item.index):
            return None
        try:
            return Waiting(f"{self.name}@{item.offset}", Record.from_body(item.body))
        except DecodeError:
            end = item.offset + HEADER_BYTES + len(item.body)
            return Damage(self.name, item.offset, end, "noEnvelope")


def folders_in(directory: Path) -> list[Folder]:
    """Find the folders of all processes, those that were adopted too, oldest first.

    Args:
        directory: The declared one; where it is not there yet, there are none.

    Raises:
        SpoolError: It cannot be read.
    """
    directory = directory.absolute()
    found: list[Folder] = []
    try:
        for outer, is_alive in with_owners(directory):
            owner = process_of(outer)
            found += [
                Folder(directory, path, owner, is_alive) for path in [*_adopted_by(outer), outer]
            ]
    except FileNotFoundError:
        return found
    except OSError as error:
        raise _unreadable(directory, error) from error
    return sorted(found, key=lambda folder: folder.path.name)


def segments_of(folder: Folder) -> Iterator[SegmentView]:
    """Look at the segments of a folder, oldest first.

    Raises:
        SpoolError: They cannot be read.
    """
    try:
        for path in sorted(folder.path.glob("*.segment")):
            # The state first: it is deleted after the segment, so none is seen without its own.
            state = read_state(path.with_suffix(".state"))
            try:
                yield SegmentView(folder, path, survey(path, state))
            except FileNotFoundError:
                continue
    except OSError as error:
        raise _unreadable(folder.path, error) from error


def kept_aside(directory: Path) -> list[KeptAside]:
    """Find what could not be read and was kept for inspection.

    Raises:
        SpoolError: It cannot be read.
    """
    folder = directory.absolute() / CORRUPT
    try:
        return [
            KeptAside(path, path.stat().st_size, path.name.rsplit("-", 2)[0])
            for path in sorted(folder.iterdir())
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(directory, error) from error


def _adopted_by(folder: Path) -> list[Path]:
    try:
        return folders_of(folder)
    except FileNotFoundError:
        return []


def _unreadable(path: Path, error: OSError) -> SpoolError:
    if isinstance(error, NotADirectoryError):
        return spool_error(path, error)
    what = (error.strerror or type(error).__name__).lower()
    advice = "run this as the user whose processes write there"
    if not isinstance(error, PermissionError):
        advice = "see whether the disk is in order"
    return SpoolError(path, f"it cannot be read: {what}", advice)
