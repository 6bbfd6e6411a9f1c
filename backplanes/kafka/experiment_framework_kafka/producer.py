"""librdkafka's producer: the way in, the service of its reports, the way out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from experiment_framework.plugin import (
    Context,
    DeliveryError,
    QueueFullError,
    Record,
    RecordTooLargeError,
)

from experiment_framework_kafka.errors import reason_of
from experiment_framework_kafka.logs import ClientLog
from experiment_framework_kafka.partitioning import ANY_PARTITION, KeyRule, RoundRobin
from experiment_framework_kafka.settings import Settings
from experiment_framework_kafka.topics import TopicNames

__all__ = ["KafkaProducer", "client_call", "is_inside_client_call"]

POLL_EVERY: Final = 64
"""Publishes between two polls by the publishing thread; a power of two."""

QUIET: Final = 0.02
"""Seconds without a poll by a publisher, after which the poller thread polls."""

SLICE: Final = 0.1
"""Longest wait inside librdkafka in seconds: signals are handled between two of them."""

PURGE_GRACE: Final = 0.3
"""Seconds that reports of taken-back records may take, beyond a budget that was used up."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_FAR_FUTURE_MS: Final = 59 * 60 * 1000


class _Inside(threading.local):
    client_call = False


_inside = _Inside()


@contextmanager
def client_call() -> Iterator[None]:
    """Mark this thread as being inside a librdkafka call, under which nothing of ours polls.

    A nested poll, for example by a delivery callback or a signal handler that publishes, would
    abort the process.
    """
    before = _inside.client_call
    _inside.client_call = True
    try:
        yield
    finally:
        _inside.client_call = before


def is_inside_client_call() -> bool:
    """Whether this thread runs below a librdkafka call."""
    return _inside.client_call


class KafkaProducer:
    """One librdkafka producer with the thread that serves it; belongs to one process.

    Attributes:
        accepted: Records queued so far (a close count: threads may race).
        failures: Records reported as failed so far.
        last_failure: Reason and monotonic time of the latest failure.
        last_error: What the client last complained of, and when; None once it recovered.
        fatal: Why the client will send nothing any more.
    """

    def __init__(
        self,
        settings: Settings,
        context: Context,
        log: ClientLog,
        *,
        topics: TopicNames,
        key_of: KeyRule | None,
        report_each: bool,
    ) -> None:
        self.accepted = 0
        self.failures = 0
        self.last_failure: tuple[str, float] | None = None
        self.last_error: tuple[str, float] | None = None
        self.fatal: str | None = None
        self.round_robin = RoundRobin()
        self._context = context
        self._log = log
        self._topics = topics
        self._largest = int(settings["message.max.bytes"])
        self._publishers_polls = 0
        self._stopping = threading.Event()
        handlers: dict[str, object] = {
            "error_cb": self._complained,
            # confluent-kafka acts on this one itself, and wants a bool.
            "delivery.report.only.error": not report_each,
        }
        if not report_each:
            handlers["on_delivery"] = self._failed
        with client_call():
            self.client = Producer({**settings, **handlers}, logger=log)
        self.publish = self._make_publish(key_of, report_each=report_each)
        self._poller = threading.Thread(
            target=self._serve, name="experiment-kafka-poll", daemon=True
        )
        self._poller.start()

    def outstanding(self) -> int:
        """Count the records that have no fate yet; waiting log lines may be among them."""
        return len(self.client)

    def _make_publish(
        self, key_of: KeyRule | None, *, report_each: bool
    ) -> Callable[[Record], None]:
        """Build the hot path: everything that is decided by options is decided here."""
        produce: Callable[..., None] = self.client.produce
        topics = self._topics.by_type
        next_partition = self.round_robin.next
        reported = self._reported
        horizon = 0

        def publish(record: Record) -> None:
            nonlocal horizon
            topic = topics.get(record.event_type) or self._topics.of_unknown_type(record.event_type)
            moment = (record.timestamp - _EPOCH) // _MILLISECOND
            if not 0 < moment < horizon:
                horizon = int(time.time() * 1000) + _FAR_FUTURE_MS
                moment = _acceptable(moment, horizon)
            if key_of is None:
                key, partition = None, next_partition(topic)
            else:
                key, partition = key_of(record), ANY_PARTITION
            report = partial(reported, record) if report_each else None
            arguments = (topic, record.body, key, partition, report, None, moment, record.headers())
            try:
                produce(*arguments)
            except (BufferError, KafkaException) as error:
                self._retry(error, record, arguments)
            self.accepted = accepted = self.accepted + 1
            if not accepted % POLL_EVERY:
                self._publishers_polls += 1
                self.poll()

        return publish

    def _retry(self, error: Exception, record: Record, arguments: tuple[Any, ...]) -> None:
        """Do what can be done about a refusal by librdkafka, or raise ours."""
        if isinstance(error, BufferError):
            # Reports of records long delivered keep their room until they are served.
            self.poll()
        elif code_of(error) == KafkaError._UNKNOWN_PARTITION:  # noqa: SLF001  # librdkafka's name
            # The topic was made anew with fewer partitions than it had.
            arguments = (*arguments[:3], ANY_PARTITION, *arguments[4:])
        else:
            raise self._refusal(error, record) from error
        try:
            self.client.produce(*arguments)
        except (BufferError, KafkaException) as again:
            raise self._refusal(again, record) from again

    def _refusal(self, error: Exception, record: Record) -> DeliveryError:
        if isinstance(error, BufferError):
            return QueueFullError("Kafka's producer queue is full")
        if code_of(error) == KafkaError.MSG_SIZE_TOO_LARGE:
            return RecordTooLargeError(len(record.body), self._largest)
        complaint: KafkaError = error.args[0]
        if complaint.fatal():
            self._note(complaint)
        return DeliveryError(f"{reason_of(complaint)}: {complaint.str()}")

    def poll(self, timeout: float = 0.0) -> None:
        """Serve what reports are there; under a client call, nothing."""
        if not _inside.client_call:
            with client_call():
                self.client.poll(timeout)

    def _serve(self) -> None:
        """Poll wherever publishers do not, until the producer is closed.

        While publishers poll, this thread keeps out: it would take the interpreter lock anew for
        each report, wait for it each time, and slow them down.
        """
        while not self._stopping.is_set():
            polls = self._publishers_polls
            try:
                self.poll(SLICE)
            except Exception as error:  # noqa: BLE001  # the thread must outlive any report
                self._log.log(logging.ERROR, "serving delivery reports: %r", error)
            while polls != self._publishers_polls:
                polls = self._publishers_polls
                self._stopping.wait(QUIET)

    def flush(self, timeout: float) -> None:
        """Wait until nothing is outstanding, at most ``timeout`` seconds.

        Below a client call there is nothing to wait for: this very thread serves the reports.
        """
        if _inside.client_call:
            return
        deadline = time.monotonic() + timeout
        while True:
            with client_call():
                left = self.client.flush(max(min(deadline - time.monotonic(), SLICE), 0.0))
            if not left or time.monotonic() >= deadline:
                return

    def close(self, timeout: float) -> None:
        """Flush within the budget; take back what is left, which is reported as failed."""
        self.flush(timeout)
        if not _inside.client_call and len(self.client):
            with client_call():
                self.client.purge(blocking=False)
            self.flush(PURGE_GRACE)
        self._stopping.set()
        if threading.current_thread() is not self._poller:
            self._poller.join(2 * SLICE)

    def _reported(self, record: Record, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self._context.delivered(record)
        else:
            self._fail(record, error)

    def _failed(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            # A report carries neither our record nor its headers: all of it is in the body.
            self._fail(Record.from_body(message.value() or b""), error)

    def _fail(self, record: Record, error: KafkaError) -> None:
        reason = reason_of(error)
        self.failures += 1
        self.last_failure = (reason, time.monotonic())
        self._context.failed(record, reason)

    def _complained(self, error: KafkaError) -> None:
        self._note(error)

    def _note(self, error: KafkaError) -> None:
        self.last_error = (f"{reason_of(error)}: {error.str()}", time.monotonic())
        if error.fatal():
            self.fatal = error.str()


def code_of(error: Exception) -> int | None:
    """Give the librdkafka code of an exception."""
    cause = error.args[0] if error.args else None
    return cause.code() if isinstance(cause, KafkaError) else None


def _acceptable(moment: int, horizon: int) -> int:
    """Give a record's timestamp in ms; now, where the event's own would be refused.

    Brokers refuse the whole batch of a record from before 1970, or by default from more than an
    hour ahead: a wrong clock must not cost neighbours. The envelope keeps the event's own time.
    """
    return moment if 0 < moment < horizon else int(time.time() * 1000)
