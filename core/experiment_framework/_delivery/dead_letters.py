"""Keeps what can never be delivered, with the reason."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from experiment_framework._json import format_time

if TYPE_CHECKING:
    from pathlib import Path

    from experiment_framework._delivery.throttle import ThrottledLog
    from experiment_framework.envelope import Record

__all__ = ["DeadLetterFile", "DeadLetters"]


class DeadLetters:
    """Puts records into the file that is declared, and offers them to the backplane.

    A place that does not take one costs a warning and a count, never more: a dead letter has no
    dead letter of its own, and the accounts of events know nothing of them.

    Args:
        file: The file, where one is declared.
        hook: The backplane's own place, where it has one; says whether it took the record.
        log: Where trouble is reported.

    Attributes:
        written: Records in the file that this process wrote.
        handed: Records that the backplane took.
        lost: Records that one of the two should have taken and did not.
    """

    def __init__(
        self,
        file: DeadLetterFile | None,
        hook: Callable[[Record, str], bool | None] | None,
        log: ThrottledLog,
    ) -> None:
        self.written = 0
        self.handed = 0
        self.lost = 0
        self._file = file
        self._hook = hook
        self._log = log
        self._lock = threading.RLock()
        self._handing = threading.local()

    def keep(self, record: Record, reason: str) -> None:
        """Keep one record."""
        if self._file is not None:
            self._write(self._file, record, reason)
        if self._hook is not None:
            self._hand_over(self._hook, record, reason)

    def _write(self, file: DeadLetterFile, record: Record, reason: str) -> None:
        with self._lock:
            try:
                file.append(record, reason)
            except OSError as error:
                self.lost += 1
                message = f"a dead letter could not be written to {file.path}: {error}"
            else:
                self.written += 1
                return
        self._log.report("dead_letter_file", message)

    def _hand_over(
        self, hook: Callable[[Record, str], bool | None], record: Record, reason: str
    ) -> None:
        if getattr(self._handing, "over", False):
            # From within the hook, which failed the record anew or was interrupted by a publish.
            with self._lock:
                self.lost += 1
            return
        self._handing.over = True
        try:
            took = hook(record, reason)
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything: the rest goes on
            with self._lock:
                self.lost += 1
            self._log.report("dead_letter", f"the backplane did not take a dead letter: {error!r}")
        else:
            if took:
                with self._lock:
                    self.handed += 1
        finally:
            self._handing.over = False


class DeadLetterFile:
    """Appends records to a file, one JSON object a line, whole lines only.

    Args:
        path: The file; made with mode 0600.
        max_bytes: Size beyond which nothing more is written.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes

    def append(self, record: Record, reason: str) -> None:
        """Append one record.

        Raises:
            OSError: The file cannot be written, or has its full size.
        """
        letter = {
            "reason": reason,
            "at": format_time(datetime.now(UTC)),
            "envelope": msgspec.Raw(record.body),
        }
        line = msgspec.json.encode(letter) + b"\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(self.path, flags, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size + len(line) > self._max_bytes:
                raise OSError(f"it has {size} bytes, and may have {self._max_bytes}")
            written = os.write(descriptor, line)
            if written != len(line):
                end = os.lseek(descriptor, 0, os.SEEK_CUR)
                if os.fstat(descriptor).st_size == end:  # else another process has appended
                    os.ftruncate(descriptor, end - written)
                raise OSError("the disk is full")
        finally:
            os.close(descriptor)
