"""What became of records, on its way from librdkafka's reports to the data plane."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
from confluent_kafka import KafkaError, Message
from experiment_framework.plugin import Context, Record

from experiment_framework_kafka.backlog import Backlog
from experiment_framework_kafka.client_call import is_inside_client_call
from experiment_framework_kafka.errors import is_passing, reason_of
from experiment_framework_kafka.logs import ClientLog

__all__ = ["Fates", "Report"]

_TAKEN_BACK: Final = frozenset(
    {
        KafkaError._PURGE_QUEUE,  # noqa: SLF001  # librdkafka's own name
        KafkaError._PURGE_INFLIGHT,  # noqa: SLF001  # as above
    }
)


class Failure(NamedTuple):
    """A record that was given up, and why."""

    record: Record
    reason: str
    retryable: bool


class Fates:
    """Takes delivery reports inside librdkafka's calls and passes them on.

    They wait here until the call is over: successes are passed on together, which costs less, and
    of a failure the data plane may log: a log handler must not run inside the call. A record that
    comes back because its client gave up for good has no fate yet: it waits in the backlog for the
    next client.

    Args:
        context: The data plane.
        log: Where trouble is told.
        backlog: Where records wait for the next client.
        decode: Gives a record's own body for that of a message; None where they are the same.
        is_idempotent: Whether the client is an idempotent producer.

    Attributes:
        delivered: Records that arrived, of which the data plane does not know yet.
        failed: Records reported as failed so far.
        last_failure: Reason and monotonic time of the latest failure.
        is_closing: Whether there will be no next client.
        left: Records of which a client that was closed never said what became of them.
    """

    def __init__(
        self,
        context: Context,
        log: ClientLog,
        backlog: Backlog,
        *,
        decode: Callable[[bytes], bytes] | None,
        is_idempotent: bool,
    ) -> None:
        self.failed = 0
        self.left = 0
        self.last_failure: tuple[str, float] | None = None
        self.is_closing = False
        self._context = context
        self._log = log
        self._backlog = backlog
        self._decode = decode
        self._is_idempotent = is_idempotent
        self.delivered: deque[Record] = deque()
        self._failures: deque[Failure] = deque()
        self._telling = threading.Lock()
        self._teller: int | None = None

    def __len__(self) -> int:
        """Count the records here that have no fate that the data plane knows of."""
        return len(self.delivered) + len(self._failures) + len(self._backlog)

    @property
    def without(self) -> int:
        """Count the records without a fate once there is no client: some may yet be told."""
        return self.left + len(self)

    def report_failure(self, error: KafkaError | None, message: Message) -> None:
        """Take the report of a message of which only the failure is reported."""
        if error is not None:
            # A report carries neither our record nor its headers: all of it is in the body.
            body = message.value() or b""
            if self._decode is not None:
                body = self._decode(body)
            self.take_failure(Record.from_body(body), error)

    def take_failure(self, record: Record, error: KafkaError) -> None:
        """Take the report of a message that was given up."""
        if not self.is_closing and self._comes_back(error):
            self._backlog.give_back(record)
        else:
            self._failures.append(Failure(record, reason_of(error), is_passing(error)))

    def _comes_back(self, error: KafkaError) -> bool:
        """Whether the client gave up, so that there will be another: before all is closed."""
        if error.code() in _TAKEN_BACK:
            return True
        return self._is_idempotent and reason_of(error) == "fatal"

    def give_up(self, record: Record, reason: str) -> None:
        """Report a record as failed that no client has; it may well arrive later."""
        self._failures.append(Failure(record, reason, retryable=True))

    def tell(self) -> None:
        """Pass fates on; under a client call, or while somebody else does, they wait.

        Each is told before it leaves: a record is never neither outstanding nor settled.
        """
        while (self.delivered or self._failures) and not is_inside_client_call():
            if not self._telling.acquire(blocking=False):
                return
            self._teller = threading.get_ident()
            try:
                self._tell_delivered([*self.delivered])
                if self._failures:
                    self._tell(self._failures[0])
            finally:
                self._teller = None
                self._telling.release()

    @property
    def is_told_here(self) -> bool:
        """Whether this very thread passes fates on: what that runs would wait for itself."""
        return self._teller == threading.get_ident()

    def _tell_delivered(self, records: Sequence[Record]) -> None:
        try:
            if records:
                self._context.delivered_all(records)
        finally:
            for _ in records:
                self.delivered.popleft()

    def _tell(self, failure: Failure) -> None:
        self.failed += 1
        self.last_failure = (failure.reason, time.monotonic())
        try:
            self._context.failed(failure.record, failure.reason, retryable=failure.retryable)
        except Exception as error:  # noqa: BLE001  # whoever polls now has no part in it
            self._log.log(logging.ERROR, "a failed delivery could not be reported: %r", error)
        finally:
            self._failures.popleft()


class Report(msgspec.Struct, frozen=True, gc=False):
    """Takes the report of one message that was queued with its record.

    There is one for each queued message. The garbage collector does not know of them: it would look
    at a hundred thousand of them again and again.
    """

    fates: Fates
    record: Record

    def __call__(self, error: KafkaError | None, _message: Message) -> None:
        """Be called by librdkafka's client."""
        if error is None:
            self.fates.delivered.append(self.record)
        else:
            self.fates.take_failure(self.record, error)
