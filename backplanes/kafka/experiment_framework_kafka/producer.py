"""librdkafka's producer: the way in, the service of its reports, the way out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer
from experiment_framework.plugin import (
    DeliveryError,
    QueueFullError,
    Record,
    RecordTooLargeError,
)

from experiment_framework_kafka.client_call import client_call, is_inside_client_call
from experiment_framework_kafka.errors import describe, error_of, reason_of
from experiment_framework_kafka.fates import Fates
from experiment_framework_kafka.logs import ClientLog
from experiment_framework_kafka.partitioning import ANY_PARTITION, KeyRule, RoundRobin
from experiment_framework_kafka.progress import Progress
from experiment_framework_kafka.timestamps import LONG_AGO, latest_day, message_time
from experiment_framework_kafka.topics import TopicNames

__all__ = ["KafkaProducer"]

POLL_EVERY: Final = 64
"""Publishes between two polls by the publishing threads."""

QUIET: Final = 0.02
"""Seconds without a poll by a publisher, after which the poller thread polls."""

SLICE: Final = 0.1
"""Longest wait inside librdkafka in seconds: signals are handled between two of them."""

PURGE_GRACE: Final = 0.3
"""Seconds that reports of taken-back records may take, beyond a budget that was used up."""

HANGS_UP: Final = (
    "connections were closed by the other side; perhaps that port wants another security.protocol"
)


class Complaints:
    """What a client complained of.

    It knows nothing of the client, which knows it: so a client ends where its last user lets go.

    Attributes:
        latest: The latest one; None once brokers answer again.
        fatal: Why the client will send nothing any more.
    """

    def __init__(self) -> None:
        self.latest: str | None = None
        self.fatal: str | None = None

    def note(self, error: KafkaError) -> None:
        """Take a complaint; called inside the client's calls."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # librdkafka's own name
            self.latest = describe(error)
        elif self.latest is None:
            # It says that, and not why. Only what a broker does without a word has no other error.
            self.latest = f"{reason_of(error)}: {HANGS_UP}"
        if error.fatal():
            self.fatal = error.str()


class KafkaProducer:
    """One librdkafka producer with the thread that serves it; belongs to one process.

    Args:
        settings: librdkafka's settings.
        fates: Where delivery reports go.
        log: Where librdkafka's log lines go.
        topics: The topic of each event type.
        key_of: Finds the key of a record; None for round robin.
        report_each: Whether deliveries are reported one by one, or failures only.

    Attributes:
        client: The librdkafka client.
        publish: Queues one record, or raises a `DeliveryError`.
        accepted: Records queued so far (a close count: publishing threads may race).
        progress: Since when records wait.
        round_robin: Takes partitions in turn once it was told how many there are.
        complaints: What the client complained of.
    """

    def __init__(
        self,
        settings: Mapping[str, object],
        fates: Fates,
        log: ClientLog,
        *,
        topics: TopicNames,
        key_of: KeyRule | None,
        report_each: bool,
    ) -> None:
        self.accepted = 0
        self.complaints = Complaints()
        self.progress = Progress()
        self.round_robin = RoundRobin()
        self._fates = fates
        self._log = log
        self._topics = topics
        self._largest = int(str(settings["message.max.bytes"]))
        self._publishers_polls = 0
        self._is_taken_back = False
        self._stopping = threading.Event()
        handlers: dict[str, object] = {
            "error_cb": self.complaints.note,
            # confluent-kafka acts on this one itself, and wants a bool.
            "delivery.report.only.error": not report_each,
        }
        if not report_each:
            handlers["on_delivery"] = fates.report_failure
        with client_call():
            self.client = Producer({**settings, **handlers}, logger=log)
        self.publish = self._make_publish(key_of, report_each=report_each)
        self._poller = threading.Thread(
            target=self._serve, name="experiment-kafka-poll", daemon=True
        )
        self._poller.start()

    def outstanding(self) -> int:
        """Count the records that have no fate yet.

        librdkafka counts waiting log lines among them, until somebody polls.
        """
        return len(self.client) + len(self._fates)

    def _make_publish(
        self, key_of: KeyRule | None, *, report_each: bool
    ) -> Callable[[Record], None]:
        """Build the hot path: what the options decide is decided here."""
        produce: Callable[..., None] = self.client.produce
        topics = self._topics.by_type
        next_partition = self.round_robin.next
        report = self._fates.report
        day = LONG_AGO

        def publish(record: Record) -> None:
            nonlocal day
            topic = topics[record.event_type]
            start, start_ms = day
            since = record.timestamp - start
            if since.days:
                moment = message_time(record.timestamp)
                if since.days > 0:
                    day = latest_day()
            else:
                moment = start_ms + since.seconds * 1000 + since.microseconds // 1000
            if key_of is None:
                key, partition = None, next_partition(topic)
            else:
                key, partition = key_of(record), ANY_PARTITION
            callback = partial(report, record) if report_each else None
            headers = record.headers()
            try:
                # By position: keywords cost a third of the call.
                produce(topic, record.body, key, partition, callback, None, moment, headers)
            except (BufferError, KafkaException) as error:
                arguments = (topic, record.body, key, partition, callback, None, moment, headers)
                self._try_again(error, record, arguments)
            self.accepted = accepted = self.accepted + 1
            if self._is_taken_back:  # while this thread was on its way in
                self._take_back()
            elif not accepted % POLL_EVERY:
                self._publishers_polls += 1
                self.poll()

        return publish

    def _try_again(self, error: Exception, record: Record, arguments: tuple[Any, ...]) -> None:
        """Do what can be done about a refusal by librdkafka, or raise ours."""
        cause = error_of(error)
        if isinstance(error, BufferError):
            # Reports of records long delivered keep their room until they are served.
            self.poll()
        elif cause is not None and cause.code() == KafkaError._UNKNOWN_PARTITION:  # noqa: SLF001  # librdkafka's own name
            # The topic was made anew with fewer partitions than it had.
            arguments = (*arguments[:3], ANY_PARTITION, *arguments[4:])
        else:
            raise self._refusal(error, record) from error
        try:
            self.client.produce(*arguments)
        except (BufferError, KafkaException) as again:
            raise self._refusal(again, record) from again

    def _refusal(self, error: Exception, record: Record) -> DeliveryError:
        cause = error_of(error)
        if isinstance(error, BufferError) or cause is None:
            return QueueFullError("the queue of Kafka's client is full")
        if cause.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return RecordTooLargeError(len(record.body), self._largest)
        if cause.fatal():
            self.complaints.note(cause)
        return DeliveryError(describe(cause))

    def poll(self, timeout: float = 0.0) -> None:
        """Serve the reports that are there; under a client call, nothing."""
        if not is_inside_client_call():
            with client_call():
                self.client.poll(timeout)
            self._fates.tell()

    def _serve(self) -> None:
        """Poll wherever publishers do not, until the producer is closed.

        While publishers poll, this thread keeps out: it would have to take the interpreter lock
        anew for each report, wait for it each time, and slow them down.
        """
        while not self._stopping.is_set():
            polls = self._publishers_polls
            try:
                self.poll(SLICE)
            except Exception as error:  # noqa: BLE001  # the thread must outlive any report
                self._log.log(logging.ERROR, "serving delivery reports failed: %r", error)
            self.observe()
            while polls != self._publishers_polls and not self._stopping.is_set():
                polls = self._publishers_polls
                self._stopping.wait(QUIET)
                self.observe()

    def observe(self) -> None:
        """Note how far deliveries are."""
        self.progress.observe(self.accepted, self.outstanding(), self._fates.failed)

    def flush(self, timeout: float) -> bool:
        """Wait until nothing is outstanding, at most ``timeout`` seconds; say whether it was so.

        Below a client call there is nothing to wait for: this very thread serves the reports.
        """
        if is_inside_client_call():
            return False
        deadline = time.monotonic() + timeout
        while True:
            with client_call():
                left = self.client.flush(max(min(deadline - time.monotonic(), SLICE), 0.0))
            self._fates.tell()
            # Asked again, the client would count what others have published since.
            if not left and not len(self._fates):
                return True
            if time.monotonic() >= deadline:
                return False

    def close(self, timeout: float) -> None:
        """Flush within the budget; take back what is left, which is reported as failed."""
        try:
            self.flush(timeout)
        finally:
            # Whoever publishes looks at it last, so each record is seen by one of the two.
            self._is_taken_back = True
            try:
                self._take_back()
            finally:
                self._stopping.set()
                if threading.current_thread() is not self._poller:
                    self._poller.join(2 * SLICE)
                # It refers to this object: whoever lets go of one lets go of both.
                self.publish = _refuse

    def _take_back(self) -> None:
        if self.outstanding() and not is_inside_client_call():
            with client_call():
                self.client.purge(blocking=False)
            self.flush(PURGE_GRACE)
        self._fates.without = self.outstanding()


def _refuse(_record: Record) -> None:
    raise DeliveryError("the client is closed")
