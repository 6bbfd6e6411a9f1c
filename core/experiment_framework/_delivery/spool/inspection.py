"""Looks into a spool, also while processes use it; changes nothing of theirs.

What a process uses goes on changing: each segment is seen as it was at one moment, and what has
been delivered and deleted in the meantime is passed over. So is what cannot be read: the rest may
be sound.
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
from experiment_framework._delivery.spool.folders import Note, folders_of, process_of
from experiment_framework._delivery.spool.frames import HEADER_BYTES, Frame, Gap, frames
from experiment_framework._delivery.spool.home import with_owners
from experiment_framework._delivery.spool.recovery import survey
from experiment_framework._delivery.spool.state import StoredState, read_state
from experiment_framework.envelope import Record
from experiment_framework.errors import DecodeError, SpoolError

__all__ = [
    "Damage",
    "Folder",
    "Inspection",
    "KeptAside",
    "SegmentView",
    "Waiting",
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

    def __init__(self, folder: Folder, path: Path, state: StoredState, note: Note) -> None:
        self.name = f"{folder.name}/{path.name}"
        self.size = state.end
        self.records = state.pending
        self.lost = 0
        self._path = path
        self._state = state
        self._is_alive = folder.is_alive
        self._note = note

    def contents(self) -> Generator[Waiting | Damage]:
        """Read it from the beginning, frame by frame; what is acknowledged is checked only.

        A write that is under way is passed over.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except OSError as error:
            self._note(self._path, error)
            return
        lost = self.records
        try:
            for item in frames(descriptor, 0, self.size):
                found = self._look_at(item)
                lost -= isinstance(found, Waiting)
                if found is not None:
                    yield found
            self.lost = lost
        except OSError as error:
            self._note(self._path, error)
        finally:
            os.close(descriptor)

    def oldest(self) -> datetime | None:
        """Say when the oldest record that waits here happened; None where none is readable."""
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


class Inspection:
    """One look into a spool: it goes on past what cannot be read, and remembers it.

    Args:
        directory: The declared one.

    Attributes:
        directory: The same, absolute.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._unreadable: dict[Path, SpoolError] = {}

    @property
    def unreadable(self) -> list[str]:
        """Which folders and files could not be read so far, why, and what to do about it."""
        return [str(problem) for problem in self._unreadable.values()]

    def could_read(self, path: Path) -> bool:
        """Say whether nothing in a folder was unreadable so far."""
        return not any(each.is_relative_to(path) for each in self._unreadable)

    def folders(self) -> list[Folder]:
        """Find the folders of all processes, those that were adopted too, oldest first.

        Raises:
            SpoolError: The directory cannot be read; one that is not there yet has none.
        """
        found: list[Folder] = []
        try:
            owners = with_owners(self.directory, self._note)
        except FileNotFoundError:
            return found
        except OSError as error:
            raise _unreadable(self.directory, error) from error
        for outer, is_alive in owners:
            owner = process_of(outer)
            found += [
                Folder(self.directory, path, owner, is_alive)
                for path in [*self._adopted_by(outer), outer]
            ]
        return sorted(found, key=lambda folder: folder.path.name)

    def segments(self, folder: Folder) -> Iterator[SegmentView]:
        """Look at the segments of a folder, oldest first."""
        for path in self._listed(folder.path):
            if path.suffix != ".segment":
                continue
            # The state first: it is deleted after the segment, so none is seen without its own.
            state = read_state(path.with_suffix(".state"))
            try:
                os.close(os.open(path, os.O_RDONLY))  # one that is sealed is not read for a survey
                yield SegmentView(folder, path, survey(path, state), self._note)
            except OSError as error:
                self._note(path, error)

    def kept_aside(self) -> list[KeptAside]:
        """Find what could not be read by a process and was kept for inspection."""
        found = []
        for path in self._listed(self.directory / CORRUPT):
            try:
                size = path.stat().st_size
            except OSError as error:
                self._note(path, error)
            else:
                found.append(KeptAside(path, size, path.name.rsplit("-", 2)[0]))
        return found

    def _adopted_by(self, folder: Path) -> list[Path]:
        try:
            return folders_of(folder, self._note)
        except OSError as error:
            self._note(folder, error)
            return []

    def _listed(self, folder: Path) -> list[Path]:
        try:
            return sorted(folder.iterdir())
        except OSError as error:
            self._note(folder, error)
            return []

    def _note(self, path: Path, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # deleted meanwhile
            self._unreadable.setdefault(path, _unreadable(path, error))


def _unreadable(path: Path, error: OSError) -> SpoolError:
    if isinstance(error, NotADirectoryError):
        return spool_error(path, error)
    if isinstance(error, IsADirectoryError):
        return SpoolError(path, "it is a folder, and no file of a spool", "move it elsewhere")
    what = (error.strerror or type(error).__name__).lower()
    advice = "run this as the user whose processes write there"
    if not isinstance(error, PermissionError):
        advice = "see whether the disk is in order"
    return SpoolError(path, f"it cannot be read: {what}", advice)
