from __future__ import annotations

import ctypes
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from experiment_framework import Exposure
from experiment_framework.envelope import Envelope, Record, encode
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions
from kafka_faults import INIT_PRODUCER_ID_REQUEST, PRODUCE_REQUEST, handle_of, librdkafka


class Ledger:
    """A data plane's context that remembers what it is told."""

    def __init__(
        self, *, report_each: bool = False, max_queue_size: int = 100_000, failed: Any = None
    ) -> None:
        self.max_queue_size = max_queue_size
        self.max_queue_bytes = 256 * 1024 * 1024
        self.report_each = report_each
        self.arrived: list[Record] = []
        self.lost: list[tuple[Record, str]] = []
        self.retryable: list[bool] = []
        self.told_on: set[str] = set()
        self._then = failed

    def delivered(self, record: Record) -> None:
        self.arrived.append(record)

    def delivered_all(self, records: Sequence[Record]) -> None:
        self.arrived.extend(records)

    def failed(self, record: Record, reason: str, *, retryable: bool = False) -> None:
        self.told_on.add(threading.current_thread().name)
        self.lost.append((record, reason))
        self.retryable.append(retryable)
        if self._then is not None:
            self._then(record, reason)


@pytest.fixture(scope="session")
def kafka() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka() as cluster:
        yield cluster


@pytest.fixture
def mend(kafka: EmbeddedKafka) -> Callable[[], None]:
    """Makes the cluster answer all requests as it should."""
    library = librdkafka()
    cluster = ctypes.c_void_p(library.rd_kafka_handle_mock_cluster(handle_of(kafka._cluster)))

    def clear() -> None:
        for request in (PRODUCE_REQUEST, INIT_PRODUCER_ID_REQUEST):
            library.rd_kafka_mock_clear_request_errors(cluster, ctypes.c_int16(request))

    return clear


@pytest.fixture
def broken(kafka: EmbeddedKafka, mend: Callable[[], None]) -> Iterator[Callable[..., None]]:
    """Makes the cluster answer requests of a kind with an error, so many times."""
    library = librdkafka()
    cluster = ctypes.c_void_p(library.rd_kafka_handle_mock_cluster(handle_of(kafka._cluster)))

    def answer(request: int, error: int, times: int) -> None:
        errors = (ctypes.c_int * times)(*[error] * times)
        library.rd_kafka_mock_push_request_errors_array(
            cluster, ctypes.c_int16(request), ctypes.c_size_t(times), errors
        )

    yield answer
    mend()


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A listener that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def ledger() -> type[Ledger]:
    return Ledger


@pytest.fixture
def opened() -> Iterator[Callable[..., KafkaBackplane]]:
    """Makes backplanes that are open, and closes them in the end."""
    made: list[KafkaBackplane] = []

    def make(context: Ledger | None = None, **options: Any) -> KafkaBackplane:
        backplane = KafkaBackplane(KafkaOptions(**options))
        backplane._context = context or Ledger()
        backplane.open()
        made.append(backplane)
        return backplane

    yield make
    for backplane in made:
        backplane.close(0)


@pytest.fixture
def record() -> Callable[..., Record]:
    """Makes records of exposures."""

    def make(number: int = 0, *, padding: int = 0, **fields: Any) -> Record:
        exposure = {
            "experiment_name": "checkout",
            "variant_key": "treatment",
            "subject_id": f"user-{number}",
            "attributes": {"padding": "x" * padding},
        }
        return encode(Envelope.around(Exposure(**(exposure | fields)), correlation_id="request-1"))

    return make


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for a condition, with a deadline."""

    def wait(condition: Callable[[], object], timeout: float = 10.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true in time"
            threading.Event().wait(0.01)

    return wait


@pytest.fixture
def consumed(kafka: EmbeddedKafka) -> Callable[[str], list[Message]]:
    """Reads a topic with a client that is none of ours."""

    def read(topic: str) -> list[Message]:
        consumer = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap_servers,
                "group.id": "independent",
                "enable.auto.commit": False,
            }
        )
        try:
            partitions = consumer.list_topics(timeout=5).topics[topic].partitions
            marks = {
                partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), 5)
                for partition in partitions
            }
            wanted = sum(high - low for low, high in marks.values())
            consumer.assign([TopicPartition(topic, p, low) for p, (low, _) in marks.items()])
            messages: list[Message] = []
            deadline = time.monotonic() + 20
            while len(messages) < wanted and time.monotonic() < deadline:
                messages += [m for m in consumer.consume(10_000, 0.1) if m.error() is None]
            return messages
        finally:
            consumer.close()

    return read


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic of the test's own."""
    return f"{request.node.name.replace('[', '-').replace(']', '')}-{time.monotonic_ns()}"[-200:]
