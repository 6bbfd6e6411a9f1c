"""Joins a way out with the spool: what it cannot take waits on disk, and is sent in order later.

While anything waits on disk, everything goes behind it. That keeps order for every key without
remembering keys; and since nothing else is published meanwhile, "nothing is outstanding" is a proof
that what was sent from disk has its fate, even where a backplane reports failures only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from experiment_framework._delivery.suspicion import Suspicion, witness_among
from experiment_framework._delivery.threads import start_thread
from experiment_framework.errors import (
    DeliveryError,
    ExperimentError,
    QueueFullError,
    RecordTooLargeError,
    SpoolFullError,
)

if TYPE_CHECKING:
    from experiment_framework._delivery.outlet import Outlet
    from experiment_framework._delivery.settlement import Settlement
    from experiment_framework._delivery.spool import Place, Spool
    from experiment_framework._delivery.throttle import ThrottledLog
    from experiment_framework._ledger import Ledger
    from experiment_framework.envelope import Record

__all__ = ["Spooling"]

BATCH: Final = 10_000
"""Records that are sent from disk before their fates are waited for."""

SLICE: Final = 0.1
"""Longest wait in seconds before looking whether to stop."""

ADOPT_INTERVAL: Final = 30.0
"""Seconds between two looks for records of processes that died, once this one has used its disk."""

LONGEST_PAUSE: Final = 5.0
"""Longest time in seconds between two tries to send from disk while the backplane is down."""


class Spooling:
    """Keeps records on disk and sends them again, in order, on a thread of its own.

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
        replayed: Records that were handed over from disk.
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
        self._log = log
        self.writes_ahead = writes_ahead
        self.is_behind = False
        self.replayed = 0
        self._spool = spool
        self._keeps = keeps
        self._isolates = isolates
        self._suspicion = Suspicion()
        self._last_reason = ""
        self._rate = replay_per_second
        self._returned = 0
        self._under_way = 0
        self._places: dict[str, list[Place]] = {}  # ids are not unique: callers may give them
        self._changed = threading.Condition()
        self._is_stopping = False
        self._thread: threading.Thread | None = None

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
        self._reports_each = reports_each
        self._outlet = outlet
        self._settlement = settlement
        self._ledger = ledger
        with self._changed:
            if self.waiting():
                self._fall_behind()

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
        with self._changed:
            self._spool.append(record)
            self._fall_behind()

    def append_behind(self, record: Record) -> bool:
        """Put a record on disk if others wait there still; otherwise say so.

        Raises:
            SpoolFullError: The spool has reached its size limit.
            SpoolError: The disk cannot take it.
        """
        with self._changed:
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
        with self._changed:
            if self.is_behind:
                self._spool.append(record)
                return False
            self._remember(record, self._spool.append(record, passed=True))
            return True

    def settled(self, record: Record) -> None:
        """Let go of a record: it is durable, or will never be."""
        place = self._forget(record)
        if place is not None:
            self._spool.acknowledge(place)

    def take_back(self, record: Record, reason: str = "") -> bool:
        """Keep a record that the backplane gave up for a passing reason; False where it cannot."""
        self._last_reason = reason or self._last_reason
        place = self._forget(record)
        if place is not None:
            with self._changed:
                self._returned += 1
                if not self._spool.release(place):  # the oldest were dropped meanwhile, it too
                    return False
                self._fall_behind()
            return True
        if not self._keeps(record.event_type):
            return False
        try:
            with self._changed:
                # What is with the backplane was published before all that waits on disk.
                self._spool.append(record, before=True)
                self._fall_behind()
        except ExperimentError:
            return False
        return True

    def waiting(self) -> int:
        """Count the records on disk that are not handed over."""
        return max(self._spool.depth - self._under_way, 0)

    def lost(self) -> dict[str, int]:
        """Count the records that the disk lost, by reason."""
        lost = {"spool_overflow": self._spool.discarded, "spool_corrupt": self._spool.corrupt}
        return {reason: count for reason, count in lost.items() if count}

    def recovered(self) -> int:
        """Count the records that were adopted from earlier processes."""
        return self._spool.recovered

    def trouble(self) -> str | None:
        """Say what the disk complained about lately."""
        return self._spool.trouble

    def details(self) -> dict[str, float]:
        """Give the figures for health."""
        return {
            "spooled": self.waiting(),
            "spoolBytes": self._spool.bytes,
            "spoolFill": round(self._spool.fill, 4),
            "spoolCorrupt": self._spool.corrupt,
            "replayed": self.replayed,
        }

    def wait(self, timeout: float) -> None:
        """Wait until nothing waits on disk any more, at most ``timeout`` seconds."""
        with self._changed:
            if self.is_behind:
                self._changed.wait(timeout)

    def stop(self) -> None:
        """Send nothing more from disk; what is under way has its fate reported as ever."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(5 * SLICE)

    def _has_ended(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def close(self) -> None:
        """Leave to a later process what has no fate yet; called when the way out is closed."""
        # What a way out that is closed has not given up is durable, if it has nothing left.
        has_fates = not self._reports_each and self._has_ended() and self._outlet.flush(0.0)
        let_go = self._spool.acknowledge if has_fates else self._spool.release
        with self._changed:
            for places in self._places.values():
                for place in places:
                    let_go(place)
            self._places.clear()
            self._under_way = 0
        self._spool.close()

    def _remember(self, record: Record, place: Place) -> None:
        self._places.setdefault(record.event_id, []).append(place)
        self._under_way += 1

    def _forget(self, record: Record) -> Place | None:
        """Give the place of a record that is under way; None where it is not on disk."""
        with self._changed:
            places = self._places.get(record.event_id)
            if not places:
                return None
            place = places.pop(0)
            self._under_way -= 1
            if not places:
                del self._places[record.event_id]
            return place

    def _fall_behind(self) -> None:
        """Begin to send from disk; called with the lock held."""
        self.is_behind = True
        if self._thread is None and not self._is_stopping:
            # At the end of the process none is started: a later process sends what waits.
            self._thread = start_thread(self._run, "experiment-replay")
        self._changed.notify_all()

    def _run(self) -> None:
        pause = SLICE
        most = BATCH
        while self._wait_until_behind():
            try:
                is_through = self._send_next(most)
            except Exception as error:  # noqa: BLE001  # a disk that fails to read may read again later
                self._log.report("replay", f"records could not be sent from disk: {error!r}")
                is_through = False
            if is_through:
                pause = SLICE
                most = min(most * 2, BATCH)
            else:
                most = 1
                self._sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _send_next(self, most: int) -> bool:
        """Send the next records from disk; False where any came back."""
        self._settle()
        began = time.monotonic()
        suspicion = self._suspicion
        batch = self._next_batch(most if suspicion.place is None else 1)
        if not batch:
            return not self.is_behind
        if batch[0][0] == suspicion.place:
            return self._try_apart(batch)
        suspicion.clear()
        if not self._send(batch):
            if self._isolates and len(batch) == 1:
                suspicion.begin(batch[0][0])
            return False
        self._sleep(len(batch) / self._rate - (time.monotonic() - began))
        return True

    def _try_apart(self, suspect: list[tuple[Place, Record]]) -> bool:
        """Send the suspect alone; where it fails, a witness; give the suspect up in the end.

        The suspect goes first: after an outage it arrives, and nothing has overtaken it.

        Returns:
            Whether the others need not wait any more.
        """
        suspicion = self._suspicion
        if suspicion.is_proven:
            self._give_up(suspect[0][1])
            suspicion.clear()
            return True
        if self._send(suspect):
            suspicion.clear()
            return True
        suspicion.failed()
        ahead = self._next_batch(suspicion.look_ahead)
        if ahead and ahead[0][0] != suspicion.place:  # the oldest were dropped meanwhile
            suspicion.clear()
        position = witness_among([record for _, record in ahead])
        for index, (_, record) in enumerate(ahead):
            if index != position or not position:
                self._give_back(record)
        suspicion.heard(position > 0 and self._send(ahead[position : position + 1]))
        return False

    def _give_up(self, record: Record) -> None:
        """Settle a record that fails for good, as if it were handed over once more."""
        self._ledger.cell().accepted += 1
        self._settlement.failed(record, f"it fails where others arrive: {self._last_reason}")

    def _wait_until_behind(self) -> bool:
        """Wait until records wait on disk; False when it is time to stop."""
        with self._changed:
            while not self._is_stopping:
                if self.is_behind:
                    return True
                if not self._changed.wait(ADOPT_INTERVAL):
                    self._adopt()
            return False

    def _adopt(self) -> None:
        """Take over what processes left that died meanwhile; called with the lock held."""
        try:
            if self._spool.adopt():
                self._fall_behind()
        except ExperimentError as error:
            self._log.report("replay", str(error))

    def _next_batch(self, most: int) -> list[tuple[Place, Record]]:
        """Take the next records from disk; where there are none, nothing goes behind any more."""
        with self._changed:
            batch = self._spool.next_batch(most)
            for place, record in batch:
                self._remember(record, place)
            if not batch and not self.waiting():
                self.is_behind = False
                self._changed.notify_all()
            return batch

    def _send(self, batch: list[tuple[Place, Record]]) -> bool:
        """Hand records over and wait for their fates; False where any came back."""
        returned = self._returned
        for index, (_, record) in enumerate(batch):
            if not self._hand_over(record):
                for _, rest in batch[index:]:
                    self._give_back(rest)
                break
        if self._settle():
            for place, record in batch:
                # Whatever has not come back, and was not settled one by one, is durable by now.
                if place in self._places.get(record.event_id, ()):
                    self.settled(record)
        return self._returned == returned

    def _give_back(self, record: Record) -> None:
        if not self.take_back(record):
            self._settlement.dropped(record, "spool_overflow", "", for_good=False)

    def _hand_over(self, record: Record) -> bool:
        """Hand one record over, waiting for room; False where it has to wait on disk again."""
        while not self._is_stopping:
            try:
                self._outlet.publish(record)
            except QueueFullError:
                self._sleep(0.01)
                continue
            except RecordTooLargeError as error:
                self.settled(record)
                self._settlement.dropped(record, "too_large", str(error), for_good=True)
                return True
            except DeliveryError:
                return False
            except Exception as error:  # noqa: BLE001  # a record that breaks the sink must not stop the others
                self.settled(record)
                self._settlement.dropped(record, "backplane_failed", repr(error), for_good=True)
                return True
            self._ledger.cell().accepted += 1
            self.replayed += 1
            return True
        return False

    def _settle(self) -> bool:
        """Wait until everything handed over has its fate; False where it is time to stop."""
        while not self._is_stopping:
            began = time.monotonic()
            if self._outlet.flush(SLICE) and not (self._reports_each and self._under_way):
                return True
            # A flush that cannot wait comes back at once: it is not asked without a pause.
            self._sleep(SLICE - (time.monotonic() - began))
        return False

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self._is_stopping and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
