"""Sends what waits on disk, in order, on a thread of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from experiment_framework._delivery.suspicion import Suspicion, witness_among
from experiment_framework._delivery.threads import LazyThread
from experiment_framework.errors import (
    DeliveryError,
    ExperimentError,
    QueueFullError,
    RecordTooLargeError,
)

if TYPE_CHECKING:
    from experiment_framework._delivery.outlet import Outlet
    from experiment_framework._delivery.settlement import Settlement
    from experiment_framework._delivery.spool import Place, Spool
    from experiment_framework._delivery.spooling import Spooling
    from experiment_framework._delivery.throttle import ThrottledLog
    from experiment_framework._ledger import Ledger
    from experiment_framework.envelope import Record

__all__ = ["Replay"]

BATCH: Final = 10_000
"""Records that are sent from disk before their fates are waited for."""

SLICE: Final = 0.1
"""Longest wait in seconds before looking whether to stop."""

ADOPT_INTERVAL: Final = 30.0
"""Seconds between two looks for records of processes that died, once this one has used its disk."""

LONGEST_PAUSE: Final = 5.0
"""Longest time in seconds between two tries to send from disk while the backplane is down."""

DISCARDS: Final = 1000
"""Records dropped from a full disk that are told of at once."""


class Replay:
    """The thread that sends from disk; it starts when records wait there for the first time.

    Args:
        spooling: Gives records, and takes back those that have to wait on.
        spool: The store, for what else is found on it.
        outlet: The way out.
        settlement: Where drops are counted.
        ledger: Where what is handed over is counted.
        reports_each: Whether each delivery is reported: then nothing else proves one.
        isolates: See `Spooling`.
        per_second: Most records a second that are sent.
        log: Where trouble with the disk is reported.

    Attributes:
        count: Records that were handed over from disk.
    """

    def __init__(
        self,
        spooling: Spooling,
        spool: Spool,
        outlet: Outlet,
        settlement: Settlement,
        ledger: Ledger,
        *,
        reports_each: bool,
        isolates: bool,
        per_second: int,
        log: ThrottledLog,
    ) -> None:
        self.count = 0
        self._spooling = spooling
        self._spool = spool
        self._outlet = outlet
        self._settlement = settlement
        self._ledger = ledger
        self._reports_each = reports_each
        self._isolates = isolates
        self._rate = per_second
        self._log = log
        self._suspicion = Suspicion()
        self._changed = spooling.changed
        self._is_stopping = False
        self._thread = LazyThread(self._run, "experiment-replay")

    def start(self) -> None:
        """Start the thread, if it is not there; called with the lock held.

        At the end of the process none is started: a later process sends what waits.
        """
        if not self._is_stopping:
            self._thread.start()

    def stop(self) -> None:
        """Send nothing more; wait a moment for the thread to end."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        self._thread.join(5 * SLICE)

    @property
    def has_ended(self) -> bool:
        """Whether the thread will hand over nothing any more."""
        return not self._thread.is_alive

    def tell_discarded(self, timeout: float) -> None:
        """Tell of records that were dropped from a full disk, as far as they can be read still."""
        deadline = time.monotonic() + timeout
        while records := self._spool.take_discarded(DISCARDS):
            self._settlement.discarded(records, "spool_overflow")
            if time.monotonic() >= deadline:
                return

    def _run(self) -> None:
        pause = SLICE
        most = BATCH
        while self._wait_until_behind():
            try:
                is_through = self._send_next(most)
            except BaseException as error:  # noqa: BLE001  # a disk that fails to read may read again later; SystemExit too: the thread lives on
                self._log.report("replay", f"records could not be sent from disk: {error!r}")
                is_through = False
            if is_through:
                pause = SLICE
                most = min(most * 2, BATCH)
            else:
                most = 1
                self._sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _wait_until_behind(self) -> bool:
        """Wait until records wait on disk; False when it is time to stop."""
        while True:
            with self._changed:
                if not self._is_stopping and not self._spooling.is_behind:
                    self._changed.wait(ADOPT_INTERVAL)
                if self._is_stopping:
                    return False
                if self._spooling.is_behind:
                    return True
            self._adopt()

    def _adopt(self) -> None:
        """Take over what processes left that died meanwhile."""
        try:
            if self._spool.adopt():
                with self._changed:
                    self._spooling.fall_behind()
        except ExperimentError as error:
            self._log.report("replay", str(error))

    def _send_next(self, most: int) -> bool:
        """Send the next records from disk; False where any came back."""
        self._settle()
        began = time.monotonic()
        suspicion = self._suspicion
        batch = self._spooling.next_batch(most if suspicion.place is None else 1)
        if not batch:
            return not self._spooling.is_behind
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
        ahead = self._spooling.next_batch(suspicion.look_ahead)
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
        why = self._spooling.last_reason
        self._settlement.failed(record, f"it fails where others arrive: {why}")

    def _send(self, batch: list[tuple[Place, Record]]) -> bool:
        """Hand records over and wait for their fates; False where any came back."""
        spooling = self._spooling
        returned = spooling.returned
        for index, (_, record) in enumerate(batch):
            if not self._hand_over(record):
                for _, rest in batch[index:]:
                    self._give_back(rest)
                break
        if self._settle() and not self._reports_each:
            # Whatever has not come back is durable by now.
            has = spooling.under_way.has
            spooling.settled([record for place, record in batch if has(record, place)])
        return spooling.returned == returned

    def _give_back(self, record: Record) -> None:
        if not self._spooling.take_back(record):
            self._settlement.dropped(record, "spool_overflow", "", for_good=False)

    def _hand_over(self, record: Record) -> bool:
        """Hand one record over, waiting for room; False where it has to wait on disk again."""
        while not self._is_stopping:
            try:
                self._outlet.republish(record)
            except QueueFullError:
                self._sleep(0.01)
                continue
            except RecordTooLargeError as error:
                self._drop(record, "too_large", str(error))
                return True
            except DeliveryError:
                return False
            except BaseException as error:  # noqa: BLE001  # a record that breaks the sink must not stop the others
                self._drop(record, "backplane_failed", repr(error))
                return True
            self._ledger.cell().accepted += 1
            self.count += 1
            return True
        return False

    def _drop(self, record: Record, reason: str, detail: str) -> None:
        self._spooling.settled((record,))
        self._settlement.dropped(record, reason, detail, for_good=True)

    def _settle(self) -> bool:
        """Wait until everything handed over has its fate; False where it is time to stop."""
        while not self._is_stopping:
            self.tell_discarded(SLICE)
            began = time.monotonic()
            has_fates = self._outlet.flush(SLICE)
            if has_fates and not (self._reports_each and self._spooling.under_way):
                return True
            # A flush that cannot wait comes back at once: it is not asked without a pause.
            self._sleep(SLICE - (time.monotonic() - began))
        return False

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self._is_stopping and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
