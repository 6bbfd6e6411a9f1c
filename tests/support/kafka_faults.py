"""Faults of Kafka's client and of its mock cluster, by librdkafka's own test hooks."""

from __future__ import annotations

import ctypes
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import KafkaError
from experiment_framework_kafka import KafkaBackplane
from experiment_framework_kafka.producer import KafkaProducer

PRODUCE_REQUEST = 0
INIT_PRODUCER_ID_REQUEST = 22


def librdkafka() -> ctypes.CDLL:
    """The very library that the client uses, for its test hooks that Python does not offer."""
    package = Path(confluent_kafka.__file__).parent
    bundled = sorted((package.parent / "confluent_kafka.libs").glob("librdkafka*"))
    if not bundled:
        pytest.skip("librdkafka is not bundled with the client here")
    library = ctypes.CDLL(str(bundled[0]))
    library.rd_kafka_handle_mock_cluster.restype = ctypes.c_void_p
    return library


def handle_of(client: object) -> ctypes.c_void_p:
    """librdkafka's handle, which is the first field of the client's object."""
    return ctypes.c_void_p.from_address(id(client) + object.__basicsize__)


def producer_of(backplane: KafkaBackplane) -> KafkaProducer:
    assert backplane._service is not None
    producer = backplane._service._succession.producer
    assert producer is not None
    return producer


def make_fatal(backplane: KafkaBackplane) -> None:
    librdkafka().rd_kafka_test_fatal_error(
        handle_of(producer_of(backplane).client),
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        b"made up",
    )
