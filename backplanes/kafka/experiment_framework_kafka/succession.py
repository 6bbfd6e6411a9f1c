"""A client that gave up for good, and the one that takes its place.

An idempotent producer that can no longer keep its promise sends nothing any more (librdkafka calls
it a fatal error). Its records come back; a new client sends them again, with the same ids and in
their order, before anything newer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from experiment_framework.plugin import DeliveryError, QueueFullError, Record

from experiment_framework_kafka.backlog import Backlog
from experiment_framework_kafka.fates import Fates
from experiment_framework_kafka.producer import KafkaProducer

__all__ = ["Succession"]

SLICE: Final = 0.1
"""Longest wait in seconds before looking whether to stop."""

FIRST_PAUSE: Final = 1.0
"""Seconds until a third client is made, after a second one that delivered nothing either."""

LONGEST_PAUSE: Final = 30.0
"""Longest time in seconds between two clients that deliver nothing."""

LAST_STEP: Final = 0.5
"""Seconds that a replacement which is under way may take to notice that all is being closed."""


class Succession:
    """Knows the client in use, and replaces it when it gives up.

    A new client is given one record first: only when that has its fate the others follow. So
    records are not passed from client to client where none of them can send anything, and each
    waits for no longer than its delivery may take.

    Args:
        make: Makes a producer; raises a `DeliveryError` where it cannot.
        fates: Where delivery reports go.
        backlog: Where records wait for a new client.
        patience: Seconds after which a record that waits has failed.
        use: Called with the first client and with each that has taken over.

    Attributes:
        producer: The one in use; None after close.
        replaced: How many gave up so far.
        failure: Why there is none that sends now; None where there is one.
    """

    def __init__(
        self,
        make: Callable[[Succession], KafkaProducer],
        fates: Fates,
        backlog: Backlog,
        *,
        patience: float,
        use: Callable[[KafkaProducer], None],
    ) -> None:
        self.replaced = 0
        self.failure: str | None = None
        self._make = make
        self._fates = fates
        self._backlog = backlog
        self._patience = patience
        self._use = use
        self._in_vain = 0
        self._stopping = threading.Event()
        self._turn = threading.RLock()
        self._leaving: KafkaProducer | None = None
        with self._turn:
            first = make(self)
            first.hold = self.hold
            self._direct: KafkaProducer | None = first
            self.producer: KafkaProducer | None = first
            use(first)

    @property
    def is_hopeless(self) -> bool:
        """Whether new clients give up as well."""
        return self.failure is not None and self._in_vain > 1

    @property
    def clients(self) -> list[object]:
        """Every client that is alive."""
        return [each.client for each in (self.producer, self._leaving) if each is not None]

    def hold(self, dead: KafkaProducer, record: Record) -> None:
        """Take a new record that a client refused because it gave up.

        Raises:
            QueueFullError: As many wait as may.
            DeliveryError: All is closed.
        """
        with self._backlog.lock:
            if self._stopping.is_set():
                raise DeliveryError("the client is closed")
            if self._direct is dead:
                self._direct = None
            heir = self._direct
            if heir is None:
                self._backlog.append(record, outstanding=len(dead.client))
                return
        heir.publish(record)

    def replace(self, dead: KafkaProducer) -> None:
        """Put a new client in the place of one that gave up; on the thread that served that one."""
        while not self._turn.acquire(timeout=SLICE):
            if self._stopping.is_set():
                return
        try:
            if dead is self.producer and not self._stopping.is_set():
                self._replace(dead)
        finally:
            self._turn.release()

    def _replace(self, dead: KafkaProducer) -> None:
        with self._backlog.lock:
            self._direct = None
        self._leaving = dead
        self.failure = dead.complaints.fatal
        self._in_vain = 1 if dead.has_delivered else self._in_vain + 1
        self.replaced += 1
        dead.get_back(self._stopping)
        self._backlog.put_in_order()
        heir = self._next()
        if heir is not None:
            self.producer = heir
            if self._send_all(heir):
                self._hand_over(dead, heir)

    def _hand_over(self, dead: KafkaProducer, heir: KafkaProducer) -> None:
        """Let publishers use the new client directly."""
        with self._backlog.lock:
            heir.accepted = dead.accepted
            heir.hold = self.hold
            self._direct = heir
            # What this very thread published meanwhile, from a finalizer.
            while (held := self._backlog.first()) is not None and self._send(heir, held.record):
                self._backlog.remove_first()
        self._leaving = self.failure = None
        self._use(heir)

    def _next(self) -> KafkaProducer | None:
        """Make the next client, unless all is being closed; not at once after several in vain."""
        if self._in_vain > 1:
            self._pause(min(FIRST_PAUSE * 2 ** min(self._in_vain - 2, 10), LONGEST_PAUSE))
        while not self._stopping.is_set():
            try:
                return self._make(self)
            except DeliveryError as error:
                self.failure = str(error)
                self._pause(FIRST_PAUSE)
        return None

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._stopping.wait(
            min(left, SLICE)
        ):
            self._give_up_late_ones()

    def _give_up_late_ones(self) -> None:
        horizon = time.monotonic() - self._patience
        while (held := self._backlog.first()) is not None and held.since < horizon:
            self._give_up(held.record, "timed_out")

    def _give_up(self, record: Record, reason: str) -> None:
        self._fates.give_up(record, reason)
        self._backlog.remove_first()
        self._fates.tell()

    def _send_all(self, heir: KafkaProducer) -> bool:
        """Send what waits; False where the new client gives up too, or all is being closed."""
        is_proven = False
        while (held := self._backlog.first()) is not None:
            if not is_proven:
                self._backlog.returns_since = held.since
            if not self._send(heir, held.record):
                return False
            self._backlog.remove_first()
            if not is_proven:
                if not self._wait_for_a_fate(heir):
                    return False
                is_proven = True
                self._in_vain = 0
                self._backlog.returns_since = None
        return heir.complaints.fatal is None

    def _send(self, heir: KafkaProducer, record: Record) -> bool:
        """Send one record, waiting for room; False where nothing can be sent any more."""
        while not self._stopping.is_set():
            try:
                heir.publish(record)
            except QueueFullError:
                heir.poll(SLICE)
            except DeliveryError as error:
                if heir.complaints.fatal is not None:
                    return False
                self._fates.give_up(record, str(error))
                return True
            else:
                return True
        return False

    def _wait_for_a_fate(self, heir: KafkaProducer) -> bool:
        """Wait until the new client has nothing outstanding; False where it gave up instead."""
        while len(heir.client) and heir.complaints.fatal is None:
            if self._stopping.is_set():
                return False
            heir.hurry(SLICE)
            self._give_up_late_ones()
        return heir.complaints.fatal is None

    def outstanding(self) -> int:
        """Count the records that have no fate yet, or never got one before all was closed."""
        producer = self.producer
        return self._fates.without if producer is None else producer.outstanding()

    def flush(self, timeout: float) -> bool:
        """Wait until nothing is outstanding, at most ``timeout`` seconds; say whether it was so."""
        deadline = time.monotonic() + timeout
        while (producer := self.producer) is not None:
            if not producer.flush(max(deadline - time.monotonic(), 0.0)):
                return False
            if producer is self.producer:
                return True
        return self._fates.without == 0

    def close(self, timeout: float) -> None:
        """Flush within the budget; report what is left as failed."""
        deadline = time.monotonic() + timeout
        try:
            self.flush(timeout)
        except BaseException:
            deadline = 0.0  # Ctrl-C: whoever asks to stop does not want to wait
            raise
        finally:
            self._stopping.set()
            self._fates.is_closing = True
            has_turn = self._turn.acquire(timeout=LAST_STEP)
            try:
                self._close(max(deadline - time.monotonic(), 0.0))
            finally:
                if has_turn:
                    self._turn.release()

    def _close(self, timeout: float) -> None:
        producer = self.producer
        if producer is None:
            return
        self._backlog.put_in_order()
        while (held := self._backlog.first()) is not None:
            self._give_up(held.record, "closed")
        try:
            producer.close(timeout)
        finally:
            self.producer = self._direct = self._leaving = None
