"""Appending lines to a file that several processes may append to."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from experiment_framework.plugin import DeliveryError

from experiment_framework_local.rotation import Series, sync_folder

__all__ = ["Appender", "Fsync"]

Fsync: TypeAlias = Literal["never", "batch", "rotate"]

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
_PRIVATE: Final = 0o600
_CHUNK: Final = 1024 * 1024
_LONGEST_LINE: Final = 64 * 1024 * 1024
_LOCK_POLL: Final = 0.002
_START_OF_RECORD: Final = b'{"eventId":'


class Appender:
    """Appends whole lines, and rotates the file when it is time to.

    It opens the file for each append and closes it again: what another process, an administrator or
    logrotate did to the file in between is taken as it is found. A lock beside the file keeps
    processes apart; a line is never split, and an append that fails leaves nothing behind.

    Args:
        series: Which files.
        rotate_bytes: Most bytes in one file (a single longer line gets a file of its own); None for
            no limit.
        rotate_daily: Whether a new day in UTC begins a new file.
        fsync: When the operating system is asked to put what was written on the disk.
        keep_files: How many rotated files are kept; None for all.
        lock_timeout: Longest wait in seconds for another process.

    Attributes:
        written: How many of the last lines that were given are in the files.
        rotations: How many times the file was rotated.
        repairs: How many lines were found torn, left by a crash.
        postponed: Why the file could not be rotated the last time it was due.
    """

    def __init__(
        self,
        series: Series,
        *,
        rotate_bytes: int | None,
        rotate_daily: bool,
        fsync: Fsync,
        keep_files: int | None,
        lock_timeout: float,
    ) -> None:
        self._series = series
        self._rotate_bytes = rotate_bytes
        self._rotate_daily = rotate_daily
        self._fsync = fsync
        self._keep_files = keep_files
        self._lock_timeout = lock_timeout
        self.written = 0
        self.rotations = 0
        self.repairs = 0
        self.postponed: str | None = None

    def append(self, lines: Sequence[bytes]) -> None:
        """Write lines, each with its line break, in order.

        Raises:
            OSError: The file system refused; of the file that was being written, nothing is kept.
            DeliveryError: Another process held the lock for too long.
        """
        self.written = 0
        with self._locked():
            may_rotate = True
            while rest := lines[self.written :]:
                self.written += self._fill(rest, may_rotate=may_rotate)
                if self.written < len(lines):
                    may_rotate = self._rotate()

    def sync(self) -> None:
        """Put on the disk what the policy ``rotate`` has left to the operating system."""
        if self._fsync != "rotate":
            return
        with suppress(FileNotFoundError), _opened(self._series, os.O_RDWR) as descriptor:
            os.fsync(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        if not self._series.active.parent.is_dir():  # the lock would create it, with any mode
            raise FileNotFoundError(
                errno.ENOENT, os.strerror(errno.ENOENT), str(self._series.active.parent)
            )
        # A new one each time: a fork copies no state, and nobody else holds this object.
        lock = FileLock(self._series.lock, timeout=self._lock_timeout, mode=_PRIVATE)
        try:
            lock.acquire(poll_interval=_LOCK_POLL)
        except Timeout:
            raise DeliveryError(
                f"another process held {self._series.lock} for {self._lock_timeout:g} s"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _fill(self, lines: Sequence[bytes], *, may_rotate: bool) -> int:
        """Write as many lines as the active file may take, and count them."""
        with _opened(self._series, _FLAGS) as descriptor:
            status = os.fstat(descriptor)
            size = self._repaired_size(descriptor, status.st_size)
            count = len(lines)
            if may_rotate:
                count = 0 if size and self._is_old(status) else self._room(lines, size)
            if count:
                self._write(descriptor, size, b"".join(lines[:count]))
        return count

    def _is_old(self, status: os.stat_result) -> bool:
        if not self._rotate_daily:
            return False
        written = datetime.fromtimestamp(status.st_mtime, UTC)
        return written.date() != datetime.now(UTC).date()

    def _room(self, lines: Sequence[bytes], size: int) -> int:
        """Count the lines that fit; into an empty file, one always does."""
        if self._rotate_bytes is None:
            return len(lines)
        for count, line in enumerate(lines):
            size += len(line)
            if size > self._rotate_bytes:
                return count or int(size == len(line))
        return len(lines)

    def _write(self, descriptor: int, size: int, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if self._fsync == "batch":
                os.fsync(descriptor)
        except BaseException:
            with suppress(OSError):  # if it fails too, the next append repairs the torn line
                os.ftruncate(descriptor, size)
            raise
        if size == 0 and self._fsync != "never":
            sync_folder(self._series.active.parent)

    def _rotate(self) -> bool:
        """Rotate the active file; False where it has to stay in use."""
        self.sync()
        try:
            self._series.rotate()
        except PermissionError as error:
            if os.name != "nt":
                raise
            # Windows does not rename a file that somebody has open: better too long than lost.
            self.postponed = f"the file cannot be rotated while it is open elsewhere: {error}"
            return False
        self.postponed = None
        self.rotations += 1
        if self._fsync != "never":
            sync_folder(self._series.active.parent)
        if self._keep_files is not None:
            self._series.prune(self._keep_files)
        return True

    def _repaired_size(self, descriptor: int, size: int) -> int:
        """End the file with a whole line, and give its size.

        What a crash left of a record of ours is removed: it was never reported as delivered. A
        record that lacks nothing but its line break gets one, and so does what is not ours.
        """
        if size == 0 or _read_at(descriptor, size - 1, 1) == b"\n":
            return size
        start = _start_of_last_line(descriptor, size)
        is_ours = _START_OF_RECORD.startswith(
            _read_at(descriptor, start, min(size - start, len(_START_OF_RECORD)))
        )
        self.repairs += 1
        if is_ours and not _is_whole(_read_at(descriptor, start, min(size - start, _LONGEST_LINE))):
            os.ftruncate(descriptor, start)
            return start
        os.write(descriptor, b"\n")
        return size + 1


@contextmanager
def _opened(series: Series, flags: int) -> Iterator[int]:
    descriptor = os.open(series.active, flags, _PRIVATE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_at(descriptor: int, offset: int, count: int) -> bytes:
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, count)


def _start_of_last_line(descriptor: int, size: int) -> int:
    end = size
    while end > 0:
        begin = max(0, end - _CHUNK)
        found = _read_at(descriptor, begin, end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
