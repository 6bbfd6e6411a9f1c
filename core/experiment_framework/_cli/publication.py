"""Lines in, receipts counted: the work of ``experiment publish``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from experiment_framework._cli.ending import Ending
from experiment_framework._cli.json_lines import LONGEST_LINE, Line
from experiment_framework._cli.rejects import RejectFile
from experiment_framework.dataplane import DataPlane
from experiment_framework.envelope import SCHEMA_VERSION, Envelope, decode
from experiment_framework.errors import DecodeError, EventError
from experiment_framework.events import EVENT_TYPES

__all__ = ["Publication", "Summary"]

_NO_ROOM: Final = "queue_full"
_PATIENCE_WHEN_INTERRUPTED: Final = 5.0
_CLOSE_TIMEOUT: Final = 1.0
"""Seconds; what had no fate by then has been waited for already."""


class Summary(msgspec.Struct, rename="camel", kw_only=True):
    """What became of the lines.

    ``lines = accepted + sampledOut + disabled + rejected``, and after the end
    ``accepted = delivered + failed + pending``.

    Attributes:
        lines: Lines that were read and not blank.
        accepted: Events that the backplane was given.
        sampled_out: Events that sampling left out.
        disabled: Events of a type that the configuration switches off.
        rejected: Lines that are no event, or one that cannot be taken.
        delivered: Accepted events that arrived.
        failed: Accepted events that will not arrive.
        pending: Accepted events whose fate was not known when the time was over.
        stopped_at: The line that there was no room for; it and all after it were not published.
        interrupted: Whether Ctrl-C or SIGTERM ended it.
        rejects: The file that has the rejected lines.
    """

    lines: int = 0
    accepted: int = 0
    sampled_out: int = 0
    disabled: int = 0
    rejected: int = 0
    delivered: int = 0
    failed: int = 0
    pending: int = 0
    stopped_at: int | None = None
    interrupted: bool = False
    rejects: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether every line was read and nothing of it was lost."""
        return not (
            self.rejected
            or self.failed
            or self.pending
            or self.stopped_at is not None
            or self.interrupted
        )


class Publication:
    """Publishes lines one by one and accounts for each.

    Args:
        plane: Where to; its ``publish_envelope`` waits for room.
        rejects: Where lines go that cannot be published.
        report: Called with the place of each such line and the reason.

    Attributes:
        ending: What ended it before its time.
        summary: The counts so far.
    """

    def __init__(
        self, plane: DataPlane, rejects: RejectFile, report: Callable[[str, str], None]
    ) -> None:
        self._plane = plane
        self._rejects = rejects
        self._report = report
        self.ending = Ending()
        self.summary = Summary()

    def run(self, lines: Iterable[Line], progress: Callable[[Line], None]) -> None:
        """Publish until the lines end, or until there was no room for one for too long.

        Ctrl-C and SIGTERM end it, too.
        """
        with self.ending.contained():
            for line in lines:
                if not self._publish(line):
                    self.summary.stopped_at = line.number
                    return
                progress(line)

    def finish(self, timeout: float) -> Summary:
        """Wait for the fates of what was accepted, at most ``timeout`` seconds; sum up.

        Ctrl-C and SIGTERM end the waiting, not the summing up.
        """
        if self.ending.is_early:
            timeout = min(timeout, _PATIENCE_WHEN_INTERRUPTED)
        with self.ending.contained():
            self._plane.flush(timeout)
        stats = self._plane.stats()  # before the end fails what is pending
        with self.ending.contained():
            self._plane.close(_CLOSE_TIMEOUT)
        self.summary.interrupted = self.ending.is_early
        self.summary.delivered = stats.delivered
        self.summary.failed = stats.failed
        self.summary.pending = stats.pending
        path = self._rejects.path
        self.summary.rejects = str(path) if path is not None else None
        return self.summary

    def _publish(self, line: Line) -> bool:
        """Publish one line; False where there is no room for it."""
        try:
            receipt = self._plane.publish_envelope(_envelope(line))
        except (DecodeError, EventError) as error:
            self._reject(line, str(error))
            return True
        if receipt.status == "dropped" and receipt.reason == _NO_ROOM:
            return False
        if receipt.status == "dropped":
            self._reject(line, f"dropped: {receipt.reason}")
            return True
        self.summary.lines += 1
        if receipt.status == "sampled_out":
            self.summary.sampled_out += 1
        elif receipt.status == "disabled":
            self.summary.disabled += 1
        else:
            self.summary.accepted += 1
        return True

    def _reject(self, line: Line, reason: str) -> None:
        self.summary.lines += 1
        self.summary.rejected += 1
        self._rejects.add(line, reason)
        self._report(f"line {line.number}", reason)


def _envelope(line: Line) -> Envelope:
    if line.is_too_long:
        raise DecodeError(f"{line.size} bytes, the longest line that is read has {LONGEST_LINE}")
    envelope = decode(line.content, fill_missing=True)
    if isinstance(envelope.payload, dict) and not _is_newer(envelope.schema_version):
        known = ", ".join(EVENT_TYPES)
        raise DecodeError(f"eventType {envelope.event_type!r} is none of {known}")
    return envelope


def _is_newer(schema_version: str) -> bool:
    """Whether a version may have event types that this release does not know."""
    return _minor(schema_version) > _minor(SCHEMA_VERSION)


def _minor(schema_version: str) -> int:
    minor = schema_version.split(".")[1:2]
    return int(minor[0]) if minor and minor[0].isdecimal() else 0
