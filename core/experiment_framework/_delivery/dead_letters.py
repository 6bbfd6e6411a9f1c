"""Keeps what can never be delivered, with the reason."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from experiment_framework._json import format_time

if TYPE_CHECKING:
    from pathlib import Path

    from experiment_framework._delivery.throttle import ThrottledLog
    from experiment_framework.envelope import Record

__all__ = ["DeadLetters"]


class DeadLetters:
    """Appends records to a file, one JSON object a line, whole lines only.

    A file that cannot be written costs a warning and a count, never more.

    Args:
        path: The file; made with mode 0600.
        max_bytes: Size beyond which nothing more is written.
        log: Where trouble is reported.

    Attributes:
        written: Records in the file that this process wrote.
        lost: Records that could not be written.
    """

    def __init__(self, path: Path, max_bytes: int, log: ThrottledLog) -> None:
        self.written = 0
        self.lost = 0
        self._path = path
        self._max_bytes = max_bytes
        self._log = log
        self._lock = threading.RLock()

    def keep(self, record: Record, reason: str) -> None:
        """Append one record."""
        letter = {
            "reason": reason,
            "at": format_time(datetime.now(UTC)),
            "envelope": msgspec.Raw(record.body),
        }
        with self._lock:
            try:
                self._append(msgspec.json.encode(letter) + b"\n")
            except OSError as error:
                self.lost += 1
                message = f"a dead letter could not be written to {self._path}: {error}"
                self._log.report("dead_letter", message)
            else:
                self.written += 1

    def _append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(self._path, flags, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size + len(line) > self._max_bytes:
                raise OSError(f"it has {size} bytes, and may have {self._max_bytes}")
            if os.write(descriptor, line) != len(line):
                os.ftruncate(descriptor, size)
                raise OSError("the disk is full")
        finally:
            os.close(descriptor)
