"""Stored records in, receipts and fates counted: the work of ``experiment copy``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from experiment_framework._cli.copy_progress import Mark, ResumeFile
from experiment_framework._cli.ending import Ending
from experiment_framework.envelope import decode
from experiment_framework.errors import DecodeError, EventError

if TYPE_CHECKING:
    from experiment_framework._cli.rejects import RejectFile
    from experiment_framework.dataplane import DataPlane
    from experiment_framework.envelope import Record
    from experiment_framework.plugin.backplane import Stored

__all__ = ["Copier", "Summary", "count"]

_NO_ROOM: Final = "queue_full"
_BETWEEN_SAVES: Final = 2.0
"""Seconds; what a killed copy may do again."""

_PATIENCE_WHEN_INTERRUPTED: Final = 5.0
_CLOSE_TIMEOUT: Final = 1.0
"""Seconds; what had no fate by then has been waited for already."""


class Summary(msgspec.Struct, rename="camel", kw_only=True):
    """What became of the events.

    ``read = copied + rejected + failed + pending``, but for a dry run, which only reads.

    Attributes:
        read: Events that were read and asked for.
        copied: Those that the target has.
        rejected: Those that are no events, or that the target will never take.
        failed: Those that the target could not take for a passing reason.
        pending: Those whose fate was not known when the time was over.
        copied_before: Those that earlier runs with the same resume file have copied.
        seconds: How long it took.
        dry_run: Whether nothing was to be copied.
        interrupted: Whether Ctrl-C or SIGTERM ended it.
        stopped: Why it ended before the end of the data.
        rejects: The file that has what was rejected.
        resume: The file that says how far it is.
    """

    read: int = 0
    copied: int = 0
    rejected: int = 0
    failed: int = 0
    pending: int = 0
    copied_before: int = 0
    seconds: float = 0.0
    dry_run: bool = False
    interrupted: bool = False
    stopped: str | None = None
    rejects: str | None = None
    resume: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether everything that was asked for has been copied."""
        is_whole = self.stopped is None and not self.interrupted
        return is_whole and not (self.rejected or self.failed or self.pending)


class Copier:
    """Publishes what was stored elsewhere, and keeps account of it.

    How far it is counts as settled only when everything before has its fate, and nothing of it
    failed for a passing reason: what an interrupted copy goes on from leaves nothing behind.

    Args:
        rejects: Where records go that are no events, or that the target refuses.
        report: Called with the place of each of those, and the reason.
        resume: Where it is kept how far this is; None for nowhere.
        timeout: Seconds to wait for fates.

    Attributes:
        ending: What ended it before its time.
        mark: How far the reading is.
        summary: What became of the events.
    """

    def __init__(
        self,
        rejects: RejectFile,
        report: Callable[[str, str], None],
        resume: ResumeFile | None,
        timeout: float,
    ) -> None:
        self.ending = Ending()
        self.mark = Mark() if resume is None else resume.mark
        self.summary = Summary(copied_before=0 if resume is None else resume.copied)
        self._rejects = rejects
        self._report = report
        self._resume = resume
        self._timeout = timeout
        self._lock = threading.Lock()
        self._passing: str | None = None
        self._refused = 0
        self._ungiven = 0
        self._saves_at = time.monotonic() + _BETWEEN_SAVES

    def failed(self, record: Record, reason: str, retryable: bool) -> None:
        """Take note of a record that the target could not take; from any thread."""
        if retryable:
            self._passing = self._passing or reason
        else:
            with self._lock:
                self._refused += 1
            self._reject({"eventId": record.event_id}, record.body, reason)

    def run(
        self, plane: DataPlane, records: Iterable[Stored | None], advance: Callable[[int], None]
    ) -> None:
        """Publish until the records end, or until it makes no sense to go on."""
        for stored in records:
            if stored is not None:
                if not self._publish(plane, stored):
                    return
                self.mark.note(stored)
                advance(1)
            if self._passing is not None:
                self.summary.stopped = self._passing
                return
            is_due = self._resume is not None and time.monotonic() >= self._saves_at
            if (is_due or stored is None) and not self._save(plane, self._timeout):
                return

    def finish(self, plane: DataPlane) -> Summary:
        """Wait for the fates of what was accepted, keep how far it is, and sum up.

        Ctrl-C and SIGTERM end the waiting, not the summing up.
        """
        summary, timeout = self.summary, self._timeout
        if self.ending.is_early:
            timeout = min(timeout, _PATIENCE_WHEN_INTERRUPTED)
        with self.ending.contained():
            self._save(plane, timeout)
        with self.ending.contained():
            plane.close(_CLOSE_TIMEOUT)
        summary.interrupted = self.ending.is_early
        result = plane.flush(0)
        summary.copied, summary.pending = result.delivered, result.pending
        summary.failed = result.failed - self._refused + self._ungiven
        summary.rejected = self._rejects.count
        summary.read = summary.copied + summary.pending + summary.failed + summary.rejected
        summary.stopped = summary.stopped or self._passing
        summary.rejects = None if self._rejects.path is None else str(self._rejects.path)
        summary.resume = None if self._resume is None else str(self._resume.path)
        return summary

    def _publish(self, plane: DataPlane, stored: Stored) -> bool:
        """Publish one record; False where there is no room for it."""
        try:
            receipt = plane.publish_envelope(decode(stored.body))
        except (DecodeError, EventError) as error:
            self._reject({"place": stored.place}, stored.body, str(error))
            return True
        if receipt.status == "accepted":
            return True
        if receipt.status == "dropped" and receipt.reason == _NO_ROOM:
            self._ungiven += 1
            self.summary.stopped = f"no room for {self._timeout:g} s"
            return False
        reason = f"{receipt.status}: {receipt.reason}"
        self._reject({"place": stored.place}, stored.body, reason)
        return True

    def _reject(self, origin: dict[str, object], body: bytes, reason: str) -> None:
        with self._lock:
            self._rejects.keep(origin, body, reason)
            self._report(str(*origin.values()), reason)

    def _save(self, plane: DataPlane, timeout: float) -> bool:
        """Keep how far it is, once all of that has its fate; whether to go on."""
        result = plane.flush(timeout)
        if result.pending:
            self.summary.stopped = self.summary.stopped or f"no answer within {timeout:g} s"
            return False
        if self._passing is not None:
            self.summary.stopped = self._passing
            return False
        if self._resume is not None:
            self._resume.save(self.mark, result.delivered)
        self._saves_at = time.monotonic() + _BETWEEN_SAVES
        return True


def count(records: Iterable[Stored | None], advance: Callable[[int], None]) -> Summary:
    """Count what would be copied."""
    summary = Summary(dry_run=True)
    for stored in records:
        if stored is None:
            continue
        summary.read += 1
        advance(1)
        try:
            decode(stored.body)
        except DecodeError:
            summary.rejected += 1
    return summary
