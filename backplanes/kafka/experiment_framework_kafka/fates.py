"""What became of records, on its way from librdkafka's reports to the data plane."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from confluent_kafka import KafkaError, Message
from experiment_framework.plugin import Context, Record

from experiment_framework_kafka.client_call import is_inside_client_call
from experiment_framework_kafka.errors import reason_of
from experiment_framework_kafka.logs import ClientLog

__all__ = ["Fates"]


class Fates:
    """Takes delivery reports inside librdkafka's calls and passes them on.

    A success is passed on at once. Of a failure the data plane may log, so failures wait here
    until the call is over: a log handler must not run inside it.

    Attributes:
        failed: Records reported as failed so far.
        last_failure: Reason and monotonic time of the latest failure.
        without: Records that had no fate when they were taken back at the end.
    """

    def __init__(self, context: Context, log: ClientLog) -> None:
        self.failed = 0
        self.without = 0
        self.last_failure: tuple[str, float] | None = None
        self._context = context
        self._log = log
        self._failures: deque[tuple[Record, str]] = deque()
        self._telling = threading.Lock()

    def __len__(self) -> int:
        """Count the failures that the data plane does not know of yet."""
        return len(self._failures)

    def report(self, record: Record, error: KafkaError | None, _message: Message) -> None:
        """Take the report of one message that was queued with its record."""
        if error is None:
            self._context.delivered(record)
        else:
            self._failures.append((record, reason_of(error)))

    def report_failure(self, error: KafkaError | None, message: Message) -> None:
        """Take the report of a message of which only the failure is reported."""
        if error is not None:
            # A report carries neither our record nor its headers: all of it is in the body.
            record = Record.from_body(message.value() or b"")
            self._failures.append((record, reason_of(error)))

    def tell(self) -> None:
        """Pass failures on; under a client call, or while somebody else does, they wait.

        Each is told before it leaves: a record is never neither outstanding nor failed.
        """
        while self._failures and not is_inside_client_call():
            if not self._telling.acquire(blocking=False):
                return
            try:
                if self._failures:
                    self._tell(*self._failures[0])
            finally:
                self._telling.release()

    def _tell(self, record: Record, reason: str) -> None:
        self.failed += 1
        self.last_failure = (reason, time.monotonic())
        try:
            self._context.failed(record, reason)
        except Exception as error:  # noqa: BLE001  # whoever polls now has no part in it
            self._log.log(logging.ERROR, "a failed delivery could not be reported: %r", error)
        finally:
            self._failures.popleft()
