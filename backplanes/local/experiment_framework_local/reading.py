"""Reading back what was written to a file and to those that were rotated away from it."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from experiment_framework.errors import DecodeError
from experiment_framework.plugin import DeliveryError, Query, Record, Stored

from experiment_framework_local.compression import corruption, open_rotated
from experiment_framework_local.rotation import Rotated, Series

__all__ = ["SeriesReader"]

_log = logging.getLogger(__name__)

_LONGEST_LINE: Final = 64 * 1024 * 1024
_CHUNK: Final = 1024 * 1024
_POLL: Final = 0.1
"""Seconds between two looks at a file that is followed."""


class SeriesReader:
    """Reads the records of a series in order, and follows them across rotations.

    A line that is no envelope is skipped, counted and, once per file, logged. The last line of the
    active file counts only when its line break is there: somebody may be writing it.

    A position is a line of a file that is known by its first line, which a rotation and a
    compression leave as it is; its name and its inode they do not.

    Args:
        series: Which files.
        query: Which records.
        stop: Ends what follows, once everything that is there was read.
        skipped: Called for each line that was skipped.
    """

    def __init__(
        self, series: Series, query: Query, *, stop: threading.Event, skipped: Callable[[], None]
    ) -> None:
        self._series = series
        self._query = query
        self._stop = stop
        self._skipped = skipped
        self._complained: set[str] = set()
        self._last_record = time.monotonic()
        self._active: _Lines | None = None
        self._newest = ""
        self._begins_at_end = not query.from_start and query.after is None
        self._seen: Counter[str] = Counter()

    def records(self) -> Iterator[Stored | None]:
        """Give None once the place to begin at is settled, then the records."""
        query = self._query
        try:
            earlier = self._advance()
            if self._active and self._begins_at_end:
                self._active.skip_to_end()
            yield None
            self._last_record = time.monotonic()
            if not self._begins_at_end:
                yield from self._rotated(earlier)
            while True:
                # Asked before reading: nobody writes to a file once it is not the active one.
                is_last = self._active and self._series.is_active(self._active.file)
                if self._active:
                    yield from self._matching(self._active)
                if not query.follow:
                    return
                if not is_last:
                    yield from self._rotated(self._advance())
                if (is_last or not self._active) and self._is_over():
                    return
        finally:
            if self._active:
                self._active.file.close()

    def _advance(self) -> list[Rotated]:
        """Go to the file that is the active one now; give those rotated since the last one."""
        file, rotated = self._series.open_for_reading()
        later = [item for item in rotated if item.time > self._newest]
        if self._active:
            later = self._series.after(self._active.file, later)
            self._active.file.close()
        self._active = _Lines(file, self._series.active, grows=True) if file else None
        if rotated:
            self._newest = rotated[-1].time
        return later

    def _is_over(self) -> bool:
        """Wait a little; whether there is nothing more to wait for."""
        idle = self._query.idle_timeout
        left = _POLL if idle is None else self._last_record + idle - time.monotonic()
        return left <= 0 or self._stop.wait(min(left, _POLL))

    def _rotated(self, items: list[Rotated]) -> Iterator[Stored]:
        for item in items:
            file = self._open(item)
            if file is None:
                continue
            lines = _Lines(file, item.path)
            try:
                yield from self._matching(lines)
                if lines.is_torn:
                    self._skip(lines, "is torn")
            except corruption() as error:
                self._skip(lines, f"and what follows is damaged: {error}")
            finally:
                file.close()

    def _open(self, item: Rotated) -> BinaryIO | None:
        """Open a rotated file, also if it was compressed since; None if it was removed."""
        try:
            return open_rotated(item.path)
        except FileNotFoundError:
            path = self._series.moved(item)
        except OSError as error:
            raise DeliveryError(f"cannot read {item.path}: {error.strerror}") from error
        return open_rotated(path) if path else None

    def _matching(self, lines: _Lines) -> Iterator[Stored]:
        for line in lines:
            if lines.number <= (lines.known if lines.part else self._name(lines)):
                continue
            if line is None:
                self._skip(lines, f"is longer than {_LONGEST_LINE} bytes")
                continue
            body = line.rstrip(b"\r\n")
            if not body:
                continue
            try:
                record = Record.from_body(body)
            except DecodeError as error:
                self._skip(lines, f"is {error}")
                continue
            if self._query.matches(record):
                yield Stored(
                    body=body,
                    place=f"{lines.path.name}:{lines.number}",
                    headers=dict(record.headers()),
                    position=(lines.part, str(lines.number)),
                )
                self._last_record = time.monotonic()

    def _name(self, lines: _Lines) -> int:
        """Name the part that a file is; give how many of its lines an earlier read has seen."""
        self._seen[lines.first] += 1
        count = self._seen[lines.first]
        lines.part = lines.first if count == 1 else f"{lines.first}#{count}"
        lines.known = int((self._query.after or {}).get(lines.part, 0))
        return lines.known

    def _skip(self, lines: _Lines, why: str) -> None:
        self._skipped()
        if lines.path.name not in self._complained:
            self._complained.add(lines.path.name)
            _log.warning("%s:%d %s: skipped", lines.path, lines.number, why)


class _Lines:
    """The whole lines of a file; of one that grows, those that are new when it is asked again.

    Attributes:
        file: The file.
        path: The name it had when it was opened.
        number: Of the line that was given last, from 1.
        is_torn: Whether bytes without a line break were left at the end.
        first: What stands for the first line; empty until that was read.
        part: What a reader calls the file in positions; empty until it does.
        known: How many lines the reader knows from before.
    """

    def __init__(self, file: BinaryIO, path: Path, *, grows: bool = False) -> None:
        self.file = file
        self.path = path
        self.number = 0
        self.is_torn = False
        self.first = ""
        self.part = ""
        self.known = 0
        self._grows = grows
        self._offset = 0

    def __iter__(self) -> Iterator[bytes | None]:
        """Give lines with their line breaks; None for one that is too long to be a record."""
        while piece := self.file.readline(_LONGEST_LINE):
            size, is_too_long = len(piece), False
            while piece and not piece.endswith(b"\n"):
                is_too_long = size >= _LONGEST_LINE
                piece = self.file.readline(_LONGEST_LINE) if is_too_long else b""
                size += len(piece)
            if not piece:
                self.is_torn = True
                break
            self._offset += size
            self.number += 1
            if self.number == 1:
                self.first = _digest(piece)
            yield None if is_too_long else piece
        if self._grows:
            self._go_back()

    def skip_to_end(self) -> None:
        """Go behind the last whole line."""
        position = 0
        self.first = _digest(self.file.readline(_LONGEST_LINE))
        self.file.seek(0)
        while chunk := self.file.read(_CHUNK):
            if count := chunk.count(b"\n"):
                self.number += count
                self._offset = position + chunk.rindex(b"\n") + 1
            position += len(chunk)
        self._go_back()

    def _go_back(self) -> None:
        """Stand behind the last whole line, or at the end where a failed append was taken back."""
        self._offset = min(self._offset, os.fstat(self.file.fileno()).st_size)
        self.file.seek(self._offset)


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[:16]
