from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException
from experiment_framework_kafka.errors import REASONS, codes, error_of, is_passing, reason_of


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


FOR_GOOD = {
    "NO_ERROR",
    # too large
    "MSG_SIZE_TOO_LARGE",
    "RECORD_LIST_TOO_LARGE",
    "INVALID_MSG_SIZE",
    "TELEMETRY_TOO_LARGE",
    "INVALID_COMMIT_OFFSET_SIZE",
    "OFFSET_METADATA_TOO_LARGE",
    # what the broker does not take, whenever it is sent
    "INVALID_MSG",
    "INVALID_RECORD",
    "INVALID_TIMESTAMP",
    "INVALID_REQUIRED_ACKS",
    "INVALID_REQUEST",
    "INVALID_CONFIG",
    "INVALID_REPLICATION_FACTOR",
    "INVALID_REPLICA_ASSIGNMENT",
    "POLICY_VIOLATION",
    "TOPIC_EXCEPTION",
    "TOPIC_ALREADY_EXISTS",
    "TOPIC_DELETION_DISABLED",
    "DUPLICATE_RESOURCE",
    "RESOURCE_NOT_FOUND",
    "FEATURE_UPDATE_FAILED",
    "OPERATION_NOT_ATTEMPTED",
    "UNSUPPORTED_COMPRESSION_TYPE",
    "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    "UNSUPPORTED_SASL_MECHANISM",
    "UNSUPPORTED_VERSION",
    "_UNSUPPORTED_FEATURE",
    # the client's own
    "_INVALID_ARG",
    "_INVALID_TYPE",
    "_NOT_IMPLEMENTED",
    "_BAD_COMPRESSION",
    "_BAD_MSG",
    "_KEY_DESERIALIZATION",
    "_KEY_SERIALIZATION",
    "_PARTIAL",
    "_UNDERFLOW",
    "_VALUE_DESERIALIZATION",
    "_VALUE_SERIALIZATION",
}


@pytest.mark.parametrize("name", sorted(codes()))
def test_every_error_passes_or_holds_for_good(name: str) -> None:
    assert is_passing(KafkaError(codes()[name])) == (name not in FOR_GOOD)


def test_an_error_from_the_future_may_pass() -> None:
    assert is_passing(KafkaError(9999))
