from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException
from experiment_framework_kafka.errors import REASONS, codes, error_of, reason_of


@pytest.mark.parametrize("name", sorted(codes()))
def test_every_code_of_the_installed_librdkafka_has_a_reason(name: str) -> None:
    assert name in REASONS


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, "too_large"),
        (KafkaError._MSG_TIMED_OUT, "timed_out"),
        (KafkaError._PURGE_QUEUE, "closed"),
        (KafkaError._PURGE_INFLIGHT, "closed"),
        (KafkaError._TRANSPORT, "unreachable"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "unknown_topic"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "not_authorized"),
        (KafkaError.SASL_AUTHENTICATION_FAILED, "not_authenticated"),
        (KafkaError._FATAL, "fatal"),
    ],
)
def test_an_error_has_the_reason_of_its_kind(code: int, reason: str) -> None:
    assert reason_of(KafkaError(code)) == reason


def test_a_code_from_the_future_counts_as_the_brokers() -> None:
    assert reason_of(KafkaError(9999)) == "broker_error"


def test_an_exception_without_a_librdkafka_error_has_none() -> None:
    assert error_of(KafkaException()) is None
    assert error_of(BufferError("Local: Queue full")) is None
