"""Joins a way out with the spool: what it cannot take waits on disk, and is sent in order later.

While anything waits on disk, everything goes behind it. That keeps order for every key without
remembering keys; and since nothing else is published meanwhile, "nothing is outstanding" is a proof
that what was sent from disk has its fate, even where a backplane reports failures only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Condition
from typing import TYPE_CHECKING

from experiment_framework._delivery.replay import Replay
from experiment_framework._delivery.under_way import UnderWay
from experiment_framework.errors import ExperimentError, RecordTooLargeError, SpoolFullError

if TYPE_CHECKING:
    from experiment_framework._delivery.outlet import Outlet
    from experiment_framework._delivery.settlement import Settlement
    from experiment_framework._delivery.spool import Place, Spool
    from experiment_framework._delivery.throttle import ThrottledLog
    from experiment_framework._ledger import Ledger
    from experiment_framework.envelope import Record

__all__ = ["Spooling"]


class Spooling:
    """Keeps records on disk; what waits there is sent by `Replay`.

    Args:
        spool: The store, opened.
        writes_ahead: Whether every record is written before it is handed over.
        keeps: Whether records of this type are kept when the backplane gives them up.
        isolates: Whether what comes back may do so because of one record among it, as where a batch
            is written by one call that raises: that one is found, and given up.
        replay_per_second: Most records a second that are sent from disk.
        log: Where trouble with the disk is reported.

    Attributes:
        is_behind: Whether records wait on disk, so that new ones have to go behind them.
        changed: Notified, under the spool's lock, when that changes.
        returned: How many records came back after they were handed over.
        last_reason: Why the last one did.
        under_way: Where the records lie that are with the backplane.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        writes_ahead: bool,
        keeps: Callable[[str], bool],
        isolates: bool,
        replay_per_second: int,
        log: ThrottledLog,
    ) -> None:
        self.writes_ahead = writes_ahead
        self.is_behind = False
        self.returned = 0
        self.last_reason = ""
        self.under_way = UnderWay()
        self._is_closed = False
        self._spool = spool
        self._lock = spool.lock
        self.changed = Condition(self._lock)
        self._keeps = keeps
        self._isolates = isolates
        self._rate = replay_per_second
        self._log = log
        self._oldest: datetime | None = None

    def start(
        self, outlet: Outlet, settlement: Settlement, ledger: Ledger, *, reports_each: bool
    ) -> None:
        """Connect it to the way out; begin to send what earlier processes left.

        Args:
            outlet: The way out.
            settlement: Where drops are counted.
            ledger: Where what is handed over is counted.
            reports_each: Whether each delivery is reported: then nothing else proves one.
        """
        self._outlet = outlet
        self._reports_each = reports_each
        self._replay = Replay(
            self,
            self._spool,
            outlet,
            settlement,
            ledger,
            reports_each=reports_each,
            isolates=self._isolates,
            per_second=self._rate,
            log=self._log,
        )
        with self._lock:
            if self.waiting():
                self.fall_behind()

    def keeps(self, event_type: str) -> bool:
        """Whether records of this type wait on disk when the backplane gives them up."""
        return self.writes_ahead or self._keeps(event_type)

    @staticmethod
    def reason_of(error: ExperimentError) -> str:
        """Name a refusal of the disk as a reason to drop."""
        if isinstance(error, RecordTooLargeError):
            return "too_large"
        return "spool_full" if isinstance(error, SpoolFullError) else "spool_failed"

    def append(self, record: Record) -> None:
        """Put a record on disk, behind what waits there.

        Raises:
            SpoolFullError: The spool has reached its size limit.
            SpoolError: The disk cannot take it.
        """
        with self._lock:
            self._spool.append(record)
            self.fall_behind(record)

    def append_behind(self, record: Record) -> bool:
        """Put a record on disk if others wait there still; otherwise say so.

        Raises:
            SpoolFullError: The spool has reached its size limit.
            SpoolError: The disk cannot take it.
        """
        with self._lock:
            if not self.is_behind:
                return False
            self._spool.append(record)
            return True

    def write_ahead(self, record: Record) -> bool:
        """Put a record on disk; True where nothing waits before it, so that it is sent at once.

        Raises:
            SpoolFullError: The spool has reached its size limit.
            SpoolError: The disk cannot take it.
        """
        with self._lock:
            if self.is_behind:
                self._spool.append(record)
                return False
            self.under_way.add(record, self._spool.append(record, passed=True))
            return True

    def settled(self, records: Sequence[Record]) -> None:
        """Let go of records: they are durable, or will never be."""
        with self._lock:
            places = [self.under_way.pop(record) for record in records]
            self._spool.acknowledge_all([place for place in places if place is not None])

    def take_back(self, record: Record, reason: str = "") -> bool:
        """Keep a record that the backplane gave up for a passing reason; False where it cannot."""
        self.last_reason = reason or self.last_reason
        try:
            with self._lock:
                place = self.under_way.pop(record)
                if place is not None:
                    self.returned += 1
                    if not self._spool.release(place):  # dropped meanwhile to make room
                        return False
                elif self._is_closed and self.writes_ahead:
                    return True  # it waits on disk since all was closed
                elif self._keeps(record.event_type):
                    # What is with the backplane was published before all that waits on disk.
                    self._spool.append(record, before=True)
                else:
                    return False
                self.fall_behind(record)
        except ExperimentError:
            return False
        return True

    def fall_behind(self, record: Record | None = None) -> None:
        """Have what waits on disk sent, and everything else wait for it; under the lock.

        Args:
            record: What waits there from now on; None where it is not known before it is read.
        """
        happened = record.timestamp if record is not None else None
        if not self.is_behind:
            self._oldest = happened
        elif happened is not None and self._oldest is not None:
            # What is given back at the beginning of an outage does not come in order.
            self._oldest = min(self._oldest, happened)
        self.is_behind = True
        self._replay.start()
        self.changed.notify_all()

    def next_batch(self, most: int) -> list[tuple[Place, Record]]:
        """Take the next records from disk; where there are none, nothing goes behind any more."""
        batch = self._spool.next_batch(most)  # without the lock: publishers do not wait for it
        with self._lock:
            for place, record in batch:
                self.under_way.add(record, place)
            if batch:
                self._oldest = batch[0][1].timestamp
            if not batch and not self.waiting():
                self.is_behind = False
                self.changed.notify_all()
        return batch

    def waiting(self) -> int:
        """Count the records on disk that are not handed over."""
        return self._spool.waiting

    def lost(self) -> dict[str, int]:
        """Count the records that the disk lost, by reason."""
        lost = {"spool_overflow": self._spool.discarded, "spool_corrupt": self._spool.corrupt}
        return {reason: count for reason, count in lost.items() if count}

    def untold(self) -> int:
        """Count the records that were dropped to make room and cannot be told of any more."""
        return self._spool.untold

    def recovered(self) -> int:
        """Count the records that were adopted from earlier processes."""
        return self._spool.recovered

    def trouble(self) -> str | None:
        """Say what the disk complained about lately."""
        return self._spool.trouble

    def oldest_age(self) -> float:
        """Say how many seconds ago the oldest record happened that has to be sent from disk.

        0 where there is none, and until the first that others have left is read. It is known for
        what was last taken from disk, whose fates are waited for before more is taken.
        """
        oldest = self._oldest
        if oldest is None or not self.is_behind:
            return 0.0
        return max(round((datetime.now(UTC) - oldest).total_seconds(), 3), 0.0)

    def details(self) -> dict[str, float]:
        """Give the figures for health."""
        return {
            "spooled": self.waiting(),
            "oldestSpooledAgeSeconds": self.oldest_age(),
            "spoolBytes": self._spool.bytes,
            "spoolFill": round(self._spool.fill, 4),
            "spoolCorrupt": self._spool.corrupt,
            "replayed": self._replay.count,
        }

    def wait(self, timeout: float) -> None:
        """Wait until nothing waits on disk any more, at most ``timeout`` seconds."""
        with self.changed:
            if self.is_behind:
                self.changed.wait(timeout)

    def stop(self) -> None:
        """Send nothing more from disk; what is under way has its fate reported as ever."""
        self._replay.stop()

    def close(self, timeout: float) -> None:
        """Leave to a later process what has no fate yet; called when the way out is closed.

        Args:
            timeout: Seconds that it may take to tell of what was dropped.
        """
        # What a way out that is closed has not given up is durable, if it has nothing left.
        has_fates = not self._reports_each and self._replay.has_ended and self._outlet.flush(0.0)
        with self._lock:
            self._is_closed = True
            places = self.under_way.clear()
            if has_fates:
                self._spool.acknowledge_all(places)
            else:
                for place in places:
                    self._spool.release(place)
        self._replay.tell_discarded(timeout)
        self._spool.close()
