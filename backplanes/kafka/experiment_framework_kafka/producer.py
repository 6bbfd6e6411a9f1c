"""librdkafka's producer: the way in, the service of its reports, the way out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer
from experiment_framework.plugin import (
    DeliveryError,
    Encoder,
    QueueFullError,
    Record,
    RecordTooLargeError,
)

from experiment_framework_kafka.client_call import client_call, is_inside_client_call
from experiment_framework_kafka.errors import describe, error_of, reason_of
from experiment_framework_kafka.fates import Fates, Report
from experiment_framework_kafka.flushing import Flusher
from experiment_framework_kafka.logs import ClientLog
from experiment_framework_kafka.making import making_client
from experiment_framework_kafka.partitioning import ANY_PARTITION, KeyRule, RoundRobin
from experiment_framework_kafka.progress import Progress
from experiment_framework_kafka.timestamps import LONG_AGO, latest_day, message_time
from experiment_framework_kafka.topics import TopicNames

__all__ = ["Complaints", "KafkaProducer", "refuse"]

POLL_EVERY: Final = 64
"""Publishes between two polls by the publishing threads."""

IN_FLIGHT_GRACE: Final = 1.0
"""Seconds that brokers have to answer for what a client that gave up had sent them."""

QUIET: Final = 0.02
"""Seconds without a poll by a publisher, after which the poller thread polls."""

SLICE: Final = 0.1
"""Longest wait inside librdkafka in seconds: signals are handled between two of them."""

BRIEFLY: Final = 0.005
"""Seconds before looking again at what others are at."""

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
        encoder: What makes the bodies of messages; None where a record's own is sent.
        report_each: Whether deliveries are reported one by one, or failures only.
        progress: Since when records wait.
        round_robin: Takes partitions in turn once it was told how many there are.
        gave_up: Called once, on the thread that serves reports, if the client gives up for good.

    Attributes:
        client: The librdkafka client.
        publish: Queues one record, or raises a `DeliveryError`.
        hold: Takes a record that is refused because the client gave up; it is refused for good
            where this is None.
        accepted: Records queued so far (a close count: publishing threads may race).
        progress: Since when records wait.
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
        encoder: Encoder[Any] | None,
        report_each: bool,
        progress: Progress,
        round_robin: RoundRobin,
        gave_up: Callable[[KafkaProducer], None],
    ) -> None:
        self.accepted = 0
        self.complaints = Complaints()
        self.progress = progress
        self.hold: Callable[[KafkaProducer, Record], None] | None = None
        self._round_robin = round_robin
        self._gave_up = gave_up
        self._made = time.monotonic()
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
        with making_client():
            self.client = Producer({**settings, **handlers}, logger=log)
        self.publish = self._make_publish(key_of, encoder, report_each=report_each)
        self._poller = threading.Thread(
            target=self._serve, name="experiment-kafka-poll", daemon=True
        )
        self._poller.start()
        self._flusher = Flusher(self._flush_aside)

    def outstanding(self) -> int:
        """Count the records that have no fate yet.

        librdkafka counts waiting log lines among them, until somebody polls.
        """
        return len(self.client) + len(self._fates)

    def _make_publish(
        self, key_of: KeyRule | None, encoder: Encoder[Any] | None, *, report_each: bool
    ) -> Callable[[Record], None]:
        """Build the hot path: what the options decide is decided here."""
        produce: Callable[..., None] = self.client.produce
        topics = self._topics.by_type
        next_partition = self._round_robin.next
        fates = self._fates
        encode = None if encoder is None else encoder.encode
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
            callback = Report(fates, record) if report_each else None
            body, headers = record.body, record.headers()
            if encode is not None:
                body, more = encode(record, topic)
                headers += more
            try:
                # By position: keywords cost a third of the call.
                produce(topic, body, key, partition, callback, None, moment, headers)
            except (BufferError, KafkaException) as error:
                arguments = (topic, body, key, partition, callback, None, moment, headers)
                self._try_again(error, record, arguments)
            except TypeError as error:
                raise _interruption(error) from error
            self.accepted = accepted = self.accepted + 1
            if self._is_taken_back:  # while this thread was on its way in
                self._take_back()
            elif not accepted % POLL_EVERY:
                self._publishers_polls += 1
                self._poll_aside()

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
            self._hold_or_refuse(error, record)
            return
        try:
            self.client.produce(*arguments)
        except (BufferError, KafkaException) as again:
            self._hold_or_refuse(again, record)

    def _hold_or_refuse(self, error: Exception, record: Record) -> None:
        """Keep a record for the next client, where this one gave up; else raise our error."""
        cause = error_of(error)
        if cause is not None and cause.code() == KafkaError._FATAL:  # noqa: SLF001  # librdkafka's own name
            self.complaints.fatal = self.complaints.fatal or describe(cause)
            if self.hold is not None:
                self.hold(self, record)
                return
        raise self._refusal(error, record) from error

    def _refusal(self, error: Exception, record: Record) -> DeliveryError:
        cause = error_of(error)
        if isinstance(error, BufferError) or cause is None:
            return QueueFullError("the queue of Kafka's client is full")
        if cause.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return RecordTooLargeError(len(record.body), self._largest)
        return DeliveryError(describe(cause))

    def poll(self, timeout: float = 0.0) -> None:
        """Serve the reports that are there; under a client call, nothing."""
        if not is_inside_client_call():
            try:
                with client_call():
                    self.client.poll(timeout)
            except KafkaException as error:
                self._note_fatal(error)
            self._fates.tell()

    def _poll_aside(self) -> None:
        """Serve reports for a publisher: what goes wrong with them is not its record's.

        confluent-kafka calls back with the exception of a fatal error already set; what runs then,
        such as a signal handler that publishes, may fail with a SystemError.
        """
        try:
            self.poll()
        except Exception as error:  # noqa: BLE001  # the record is queued, whatever the reports say
            self._log.log(logging.ERROR, "serving delivery reports failed: %r", error)

    def _note_fatal(self, error: KafkaException) -> None:
        """Note why the client gave up: it tells by an exception, from whichever call serves it."""
        cause = error_of(error)
        if cause is None or not cause.fatal():
            raise error
        self.complaints.note(cause)

    def _serve(self) -> None:
        """Poll wherever publishers do not, until the producer is closed or gave up.

        While publishers poll, this thread keeps out: it would have to take the interpreter lock
        anew for each report, wait for it each time, and slow them down.
        """
        while not self._stopping.is_set():
            polls = self._publishers_polls
            try:
                self.poll(SLICE)
                if self.complaints.fatal is not None:
                    self._gave_up(self)
                    return
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

    @property
    def has_delivered(self) -> bool:
        """Whether a delivery was noticed since this client was made."""
        self.observe()
        latest = self.progress.last_delivery
        return latest is not None and latest > self._made

    def get_back(self, stopping: threading.Event) -> None:
        """Wait until a client that gave up has given all records back, unless all is closed."""
        deadline = time.monotonic() + IN_FLIGHT_GRACE
        while len(self.client) and not stopping.is_set():
            if time.monotonic() >= deadline:
                self._purge()
            self.poll(SLICE)
        self._flusher.stop(0)

    def flush(self, timeout: float) -> bool:
        """Wait until nothing is outstanding, at most ``timeout`` seconds; say whether it was so.

        Below a client call, or a log handler that is told of a failure, there is nothing to wait
        for: this very thread serves the reports.
        """
        if is_inside_client_call() or self._fates.is_told_here:
            return False
        deadline = time.monotonic() + timeout
        while True:
            outstanding = self._flush(0.0)
            self._fates.tell()
            # Asked again, the client would count what others have published since.
            if not outstanding and not len(self._fates):
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if outstanding:
                self._flusher.wait(min(left, SLICE))
            else:
                time.sleep(min(left, BRIEFLY))  # others tell fates, or wait for a new client

    def hurry(self, timeout: float) -> None:
        """Send what waits for its batch to fill, and serve reports, at most ``timeout`` seconds."""
        self._flusher.wait(timeout)
        self.poll()

    def _flush(self, timeout: float) -> int:
        try:
            with client_call():
                return self.client.flush(timeout)
        except KafkaException as error:
            self._note_fatal(error)
            return len(self.client)

    def _flush_aside(self, timeout: float) -> None:
        """Wait inside librdkafka on a thread that must outlive any report."""
        try:
            self._flush(timeout)
        except Exception as error:  # noqa: BLE001  # as said above
            self._log.log(logging.ERROR, "serving delivery reports failed: %r", error)

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
                self._flusher.stop(2 * SLICE)
                # What these threads served last; log lines that came since are no records.
                self._fates.left = min(self._fates.left, len(self.client))
                # They refer to this object: whoever lets go of one lets go of all.
                self.publish = refuse
                self.hold = None

    def _take_back(self) -> None:
        if self.outstanding() and not is_inside_client_call():
            self._purge()
            self.flush(PURGE_GRACE)
        self._fates.left = len(self.client)

    def _purge(self) -> None:
        with client_call():
            self.client.purge(blocking=False)


def _interruption(error: TypeError) -> BaseException:
    """Give back what confluent-kafka made a complaint about headers of.

    It asks Python for each header's text, where signal handlers have their turn, and takes whatever
    they raise for a wrong type. Ours are always text: so it was Ctrl-C, or another wish to stop.
    """
    return KeyboardInterrupt() if "header" in str(error) else error


def refuse(_record: Record) -> None:
    """Take nothing: what publishes through a client that is closed."""
    raise DeliveryError("the client is closed")
