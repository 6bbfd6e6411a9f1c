"""librdkafka's log lines on their way to `logging`.

librdkafka hands lines over inside its own calls, where a handler that publishes would end the
process: so they are only queued there and written by a thread of ours.
"""

from __future__ import annotations

import logging
import queue
import time
from typing import Final

__all__ = ["ClientLog"]

_logger: Final = logging.getLogger("experiment_framework.kafka")

CAPACITY: Final = 1000
"""Lines that wait at once; later ones are counted and left out."""

LINES_PER_PERIOD: Final = 10
"""Different lines that are written in one period; an unreachable broker makes hundreds."""

PERIOD: Final = 60.0
"""Seconds."""


class ClientLog:
    """What a client is given as its ``logger``: bounded on the way in, rate-limited on the way out.

    Attributes:
        skipped: Lines left out so far.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._lines: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        self._written: set[str] = set()
        self._told = 0
        self._period_ends = 0.0

    def log(self, level: int, pattern: str, *arguments: object) -> None:
        """Take a line; called by the client, so it neither blocks nor calls anybody."""
        if self._lines.qsize() >= CAPACITY:
            self.skipped += 1
            return
        self._lines.put((level, pattern % arguments))

    def wake(self) -> None:
        """Make a waiting `write` return at once."""
        self._lines.put(None)

    def write(self, timeout: float) -> None:
        """Wait for a line, at most ``timeout`` seconds, and write all that are there."""
        try:
            line = self._lines.get(timeout=max(timeout, 0.0))
            while line is not None:
                self._write(*line)
                line = self._lines.get_nowait()
        except queue.Empty:
            pass

    def _write(self, level: int, text: str) -> None:
        now = time.monotonic()
        if now >= self._period_ends:
            self._period_ends = now + PERIOD
            self._written.clear()
            if self.skipped > self._told:
                _logger.warning("%d log lines of librdkafka left out", self.skipped - self._told)
                self._told = self.skipped
        if level < logging.INFO:
            _logger.log(level, "%s", text)
        elif text in self._written or len(self._written) >= LINES_PER_PERIOD:
            self.skipped += 1
        else:
            self._written.add(text)
            _logger.log(level, "%s", text)
