"""Records that can never be delivered, on their way to a topic of their own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from experiment_framework.plugin import DeliveryError, QueueFullError, Record

from experiment_framework_kafka.client_call import client_call
from experiment_framework_kafka.errors import describe, error_of, reason_of
from experiment_framework_kafka.inheritance import keep_for_ever
from experiment_framework_kafka.logs import ClientLog
from experiment_framework_kafka.making import making_client
from experiment_framework_kafka.oauth import OAuthToken, TokenSource
from experiment_framework_kafka.options import KafkaOptions
from experiment_framework_kafka.partitioning import key_rule
from experiment_framework_kafka.settings import producer_settings
from experiment_framework_kafka.topics import TopicNames

__all__ = ["DeadLetterTopic"]

MOST_WAITING: Final = 1000
"""Dead letters that wait at once, for their client and in it."""

MOST_BYTES: Final = 64 * 1024 * 1024
"""Bytes of them that wait in the client."""

LARGEST_BODY: Final = 16 * 1024 * 1024
"""Bytes of the largest body that is sent; whether the topic takes it is the broker's to say."""

ROOM_FOR_HEADERS: Final = 64 * 1024

LONGEST_REASON: Final = 4096

BUSY: Final = 0.05
"""Seconds between two looks for reports while some are due."""

IDLE: Final = 1.0
"""Seconds between two looks for what else the client has to say."""

GRACE: Final = 0.3
"""Seconds that the end may take, beyond a budget that was used up."""


class Letter(NamedTuple):
    """A record, why and when it was given up, and whether its body goes along."""

    record: Record
    reason: str
    at: datetime
    is_whole: bool = True


class DeadLetterTopic:
    """Sends dead letters with a client and a thread of its own, both made with the first one.

    So they change nothing about the events: not what their client counts as outstanding, not the
    wait for their reports, and they are sent although that client gave up. A letter whose body is
    too large for the topic too is sent again without it. What cannot be sent is counted and logged.

    Args:
        options: Options in which a topic for dead letters is declared.
        topics: The topic of each event type.
        oauth_token: Where access tokens come from, if from code.

    Attributes:
        sent: Letters that brokers have.
        lost: Letters that were taken and could not be sent.
        last_loss: Reason and monotonic time of the latest one.
    """

    def __init__(
        self, options: KafkaOptions, topics: TopicNames, oauth_token: OAuthToken | None
    ) -> None:
        self.sent = 0
        self.lost = 0
        self.last_loss: tuple[str, float] | None = None
        self._options = options
        self._topics = topics
        self._oauth_token = oauth_token
        self._key_of = key_rule(options)
        self._log = ClientLog()
        self._letters: queue.SimpleQueue[Letter | None] = queue.SimpleQueue()
        self._in_flight = 0
        self._client: Producer | None = None
        self._first = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ends_at: float | None = None
        self._is_over = False

    @property
    def waiting(self) -> int:
        """Count the letters that have no fate yet."""
        return self._letters.qsize() + self._in_flight

    def keep(self, record: Record, reason: str) -> None:
        """Queue a record; from any thread, also from a signal handler or a finalizer.

        Raises:
            DeliveryError: All is closed.
            QueueFullError: As many wait as may.
        """
        if self._ends_at is not None:
            raise DeliveryError("the backplane is closed")
        if self.waiting >= MOST_WAITING:
            raise QueueFullError(f"{MOST_WAITING} dead letters wait already")
        is_whole = len(record.body) <= LARGEST_BODY
        self._letters.put(Letter(record, reason, datetime.now(UTC), is_whole))
        if self._thread is None and self._first.acquire(blocking=False):
            self._start()
        if self._is_over:  # while this thread was on its way in
            self._lose_waiting()

    def _start(self) -> None:
        thread = threading.Thread(target=self._serve, name="experiment-kafka-letters", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return  # the process ends: whoever closes sends them
        self._thread = thread

    def _serve(self) -> None:
        while self._ends_at is None:
            self._work(BUSY if self._in_flight else IDLE)
        self._finish(self._ends_at)

    def _work(self, timeout: float) -> None:
        """Wait for a letter, at most ``timeout`` seconds; send it and serve reports."""
        try:
            letter = self._letters.get(timeout=timeout)
            if letter is not None:
                self._send(letter)
        except queue.Empty:
            pass
        except Exception as error:  # noqa: BLE001  # the thread must outlive any letter
            self._lose(repr(error))
        self._poll()
        self._log.write(0)

    def _poll(self) -> None:
        if self._client is not None:
            with client_call():
                self._client.poll(0)

    def _send(self, letter: Letter) -> None:
        record = letter.record
        try:
            if self._client is None:
                self._client = self._make_client()
            self._client.produce(
                str(self._options.dead_letter_topic),
                record.body if letter.is_whole else b"",
                None if self._key_of is None else self._key_of(record),
                on_delivery=partial(self._report, letter),
                headers=_headers(letter, self._topics.by_type[record.event_type]),
            )
        except BufferError:
            self._lose("queue_full")
        except KafkaException as error:
            self._settle(letter, error_of(error) or str(error))
        except OSError as error:  # a secret's file
            self._lose(f"Kafka's client cannot be made: {error}")
        else:
            self._in_flight += 1

    def _make_client(self) -> Producer:
        settings: dict[str, Any] = {**_settings(self._options)}
        if self._oauth_token is not None:
            settings["oauth_cb"] = TokenSource(self._oauth_token, self._log)
        with making_client():
            return Producer(settings, logger=self._log)

    def _report(self, letter: Letter, error: KafkaError | None, _message: Message) -> None:
        """Take the report of a letter; called inside the client's calls."""
        self._in_flight -= 1
        if error is None:
            self.sent += 1
        else:
            self._settle(letter, error)

    def _settle(self, letter: Letter, error: KafkaError | str) -> None:
        if isinstance(error, str):
            self._lose(error)
        elif reason_of(error) == "too_large" and letter.is_whole:
            self._letters.put(letter._replace(is_whole=False))
        else:
            self._lose(describe(error))

    def _lose(self, reason: str) -> None:
        self.lost += 1
        self.last_loss = (reason, time.monotonic())
        topic = self._options.dead_letter_topic
        self._log.log(logging.WARNING, "a dead letter did not get into %s: %s", topic, reason)

    def _lose_waiting(self) -> None:
        while True:
            try:
                letter = self._letters.get_nowait()
            except queue.Empty:
                return
            if letter is not None:
                self._lose("closed")

    def close(self, timeout: float) -> None:
        """Send within the budget what waits, count the rest as lost, end client and thread."""
        self._ends_at = time.monotonic() + timeout
        if self._thread is None:
            if self.waiting:
                self._finish(self._ends_at)
        elif self._thread is not threading.current_thread():
            self._letters.put(None)
            self._thread.join(timeout + GRACE)

    def _finish(self, ends_at: float) -> None:
        while self.waiting and time.monotonic() < ends_at:
            self._work(BUSY)
        self._is_over = True
        self._lose_waiting()
        if self._client is not None and self._in_flight:
            with client_call():
                self._client.purge(blocking=False)
            grace_ends = time.monotonic() + GRACE / 2
            while self._in_flight and time.monotonic() < grace_ends:
                self._work(BUSY / 10)
            self._lose_waiting()
        self._client = None
        self._log.write(0)

    def leave_to_parent(self) -> None:
        """Keep the parent process's client as it is, unused, in a forked child."""
        if self._client is not None:
            keep_for_ever(self._client)


def _settings(options: KafkaOptions) -> Mapping[str, str]:
    """Give the settings of the client: each letter by itself, so that none fails with another."""
    events = producer_settings(options, queue_size=MOST_WAITING, queue_bytes=MOST_BYTES)
    return events | {
        "acks": "all",
        "batch.num.messages": "1",
        "enable.idempotence": "false",
        "linger.ms": "0",
        "max.in.flight.requests.per.connection": "1",
        "message.max.bytes": str(LARGEST_BODY + ROOM_FOR_HEADERS),
    }


def _headers(letter: Letter, topic: str) -> list[tuple[str, str | bytes | None]]:
    """Give the record's own headers, and what is known of its end."""
    record = letter.record
    found: list[tuple[str, str | bytes | None]] = [
        *record.headers(),
        ("dead-letter-topic", topic),
        ("dead-letter-reason", letter.reason[:LONGEST_REASON].encode(errors="replace")),
        ("dead-letter-at", _written(letter.at)),
        ("dead-letter-event-time", _written(record.timestamp)),
    ]
    if not letter.is_whole:
        found.append(("dead-letter-body", f"left out: {len(record.body)} bytes"))
    return found


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
