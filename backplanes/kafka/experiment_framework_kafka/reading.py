"""Reads records back, without belonging to a consumer group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from experiment_framework.plugin import (
    DeliveryError,
    EncodingError,
    ExperimentError,
    Query,
    Record,
    Stored,
)

from experiment_framework_kafka.client_call import client_call
from experiment_framework_kafka.errors import describe, error_of
from experiment_framework_kafka.logs import ClientLog

__all__ = ["read_topics"]

ANSWER_TIMEOUT: Final = 10.0
"""Seconds for each question to the cluster."""

STALL_TIMEOUT: Final = 30.0
"""Seconds without anything from the brokers after which reading what is there fails."""

LOOK_AGAIN: Final = 5.0
"""Seconds between two looks for new topics and partitions, while following."""

SLICE: Final = 0.1
BATCH: Final = 500

_PASSING: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001  # librdkafka's own name
        KafkaError._TRANSPORT,  # noqa: SLF001  # as above
        KafkaError._RESOLVE,  # noqa: SLF001  # as above
        KafkaError._TIMED_OUT,  # noqa: SLF001  # as above
        # We name a group because the client wants one, and use nothing of it.
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)

Place = tuple[str, int]


def read_topics(
    settings: Mapping[str, object],
    topics: tuple[str, ...],
    query: Query,
    *,
    decode: Callable[[bytes], bytes] | None = None,
) -> Iterator[Stored]:
    """Read what a query asks for; where the reading begins is settled before this returns.

    Args:
        settings: librdkafka's settings of the consumer.
        topics: Where to read.
        query: What to read.
        decode: Gives a record's own body for that of a message; None where they are the same.

    Raises:
        DeliveryError: No broker answers, a topic must not be read, or no topic is there.
    """
    log = ClientLog()
    with client_call():
        consumer = Consumer({**settings}, logger=log)
    reading = _Reading(consumer, topics, query, log, decode)
    try:
        with _translated():
            reading.begin()
    except BaseException:
        reading.close()
        raise
    return reading.records()


class _Reading:
    """One consumer, and how far it is.

    Attributes:
        ends: For each partition the offset where reading ends; None while following.
    """

    def __init__(
        self,
        consumer: Consumer,
        topics: tuple[str, ...],
        query: Query,
        log: ClientLog,
        decode: Callable[[bytes], bytes] | None,
    ) -> None:
        self.ends: dict[Place, int | None] = {}
        self._consumer = consumer
        self._topics = topics
        self._query = query
        self._log = log
        self._decode = decode
        wanted = (query.event_types, query.experiment_name, query.variant_key)
        moments = (query.since, query.until)
        self._has_filter = any(each is not None for each in (*wanted, *moments))

    def begin(self) -> None:
        """Find the partitions, and where to begin and to end in each."""
        found = self._partitions()
        if not found and not self._query.follow:
            raise DeliveryError(f"no such topic: {', '.join(self._topics)}")
        from_start = self._query.from_start or self._query.after is not None
        starts = [self._start(place, from_start=from_start) for place in found]
        self._assign([start for start in starts if start is not None])

    def records(self) -> Iterator[Stored]:
        """Give the records; the client is closed when this ends or is closed."""
        try:
            with _translated():
                yield from self._records()
        finally:
            self.close()

    def close(self) -> None:
        """Let the client go."""
        with client_call():
            self._consumer.close()
        self._log.write(0)

    def _records(self) -> Iterator[Stored]:
        heard = asked = wanted = time.monotonic()
        while self._query.follow or self.ends:
            with client_call():
                messages = self._consumer.consume(BATCH, timeout=SLICE)
            self._log.write(0)
            now = time.monotonic()
            if messages:
                heard = now
            for message in messages:
                stored = self._take(message)
                if stored is not None:
                    wanted = now
                    yield stored
            if self._query.idle_timeout is not None and now - wanted > self._query.idle_timeout:
                return
            if self._query.follow and now - asked > LOOK_AGAIN:
                asked = now
                self._look_again()
            elif not self._query.follow and now - heard > STALL_TIMEOUT:
                raise DeliveryError(f"brokers sent nothing for {STALL_TIMEOUT:.0f} s")

    def _take(self, message: Message) -> Stored | None:
        error = message.error()
        place = (message.topic() or "", message.partition() or 0)
        if error is not None:
            self._note(error, place)
            return None
        offset = message.offset() or 0
        end = self.ends.get(place)
        if place not in self.ends or (end is not None and offset >= end):
            self.ends.pop(place, None)
            return None
        if end is not None and offset + 1 >= end:
            del self.ends[place]
        body = self._body_of(message)
        return _stored(message, body) if self._wants(body) else None

    def _body_of(self, message: Message) -> bytes:
        """Give a message's body decoded; one that cannot be is shown as it is."""
        body = message.value() or b""
        if self._decode is None:
            return body
        try:
            return self._decode(body)
        except EncodingError:
            return body

    def _note(self, error: KafkaError, place: Place) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # librdkafka's own name
            if not self._query.follow:
                self.ends.pop(place, None)
        elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            self.ends.pop(place, None)
        elif error.code() not in _PASSING and not error.retriable():
            raise KafkaException(error)

    def _wants(self, body: bytes) -> bool:
        if not self._has_filter:
            return True
        try:
            return self._query.matches(Record.from_body(body))
        except ExperimentError:
            return False

    def _partitions(self) -> list[Place]:
        # All topics: asking for one by name would create it.
        metadata = self._consumer.list_topics(timeout=ANSWER_TIMEOUT)
        return [
            (name, partition)
            for name in self._topics
            if name in metadata.topics
            for partition in metadata.topics[name].partitions
        ]

    def _start(self, place: Place, *, from_start: bool) -> TopicPartition | None:
        """Find where to begin in a partition; None where there is nothing to read."""
        partition = TopicPartition(*place)
        marks = self._consumer.get_watermark_offsets(partition, timeout=ANSWER_TIMEOUT)
        if marks is None:
            raise DeliveryError(f"timed_out: no answer about {place[0]}[{place[1]}]")
        low, high = marks
        if not self._query.follow:
            if high <= low or not from_start:
                return None
            self.ends[place] = high
        else:
            self.ends[place] = None
        if not from_start:
            return TopicPartition(*place, high)
        known = (self._query.after or {}).get(_part(place))
        if known is not None and low <= int(known) + 1 <= high:  # else it is another topic now
            return self._go_on(place, int(known) + 1, high)
        since = self._query.since
        first = None if since is None else self._offset_at(place, int(since.timestamp() * 1000))
        if first is None and since is not None and self._offset_at(place, 0) is not None:
            first = high  # nothing is as young as that
        return TopicPartition(*place, OFFSET_BEGINNING if first is None else first)

    def _go_on(self, place: Place, offset: int, high: int) -> TopicPartition | None:
        """Begin where an earlier read ended; None where nothing came since."""
        if offset == high and not self._query.follow:
            del self.ends[place]
            return None
        return TopicPartition(*place, offset)

    def _offset_at(self, place: Place, moment: int) -> int | None:
        """Find the first offset from a moment on, in ms; None where there is none.

        The embedded Kafka never finds one.
        """
        question = TopicPartition(*place, moment)
        (found,) = self._consumer.offsets_for_times([question], timeout=ANSWER_TIMEOUT)
        return found.offset if found.offset >= 0 else None

    def _look_again(self) -> None:
        """Take in what has come into being; brokers that are away do not end the following."""
        try:
            new = [place for place in self._partitions() if place not in self.ends]
            starts = [self._start(place, from_start=True) for place in new]
        except KafkaException:
            return
        self._assign([start for start in starts if start is not None])

    def _assign(self, starts: list[TopicPartition]) -> None:
        if starts:
            self._consumer.incremental_assign(starts)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn librdkafka's exceptions into ours."""
    try:
        yield
    except KafkaException as error:
        cause = error_of(error)
        why = str(error) if cause is None else describe(cause)
        raise DeliveryError(f"reading from Kafka failed: {why}") from error


def _stored(message: Message, body: bytes) -> Stored:
    # A message that was read has them as a list; the type also covers those that are written.
    part = _part((message.topic() or "", message.partition() or 0))
    headers = cast("list[tuple[str, str | bytes | None]]", message.headers() or [])
    return Stored(
        body=body,
        place=f"{part}@{message.offset()}",
        headers={name: _text(value) for name, value in headers},
        key=message.key(),
        position=(part, str(message.offset())),
    )


def _part(place: Place) -> str:
    return f"{place[0]}[{place[1]}]"


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
