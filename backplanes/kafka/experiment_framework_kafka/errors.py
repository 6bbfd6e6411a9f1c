"""What librdkafka's errors mean to us: one table from its codes to our reasons.

A reason is what receipts, counters and health speak of; librdkafka's own text goes with it where
a person reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError

__all__ = ["REASONS", "codes", "describe", "error_of", "is_passing", "reason_of"]

_CODES_OF: Final[Mapping[str, str]] = {
    "delivered": "NO_ERROR",
    "queue_full": "_QUEUE_FULL",
    "closed": "_PURGE_QUEUE _PURGE_INFLIGHT _DESTROY",
    "too_large": """
        MSG_SIZE_TOO_LARGE RECORD_LIST_TOO_LARGE INVALID_MSG_SIZE TELEMETRY_TOO_LARGE
        INVALID_COMMIT_OFFSET_SIZE OFFSET_METADATA_TOO_LARGE""",
    "timed_out": "_MSG_TIMED_OUT _TIMED_OUT _TIMED_OUT_QUEUE REQUEST_TIMED_OUT",
    "unreachable": """
        _TRANSPORT _RESOLVE _ALL_BROKERS_DOWN _DESTROY_BROKER _NODE_UPDATE _UNKNOWN_BROKER
        BROKER_NOT_AVAILABLE NETWORK_EXCEPTION REBOOTSTRAP_REQUIRED""",
    "encryption_failed": "_SSL",
    "not_authenticated": """
        _AUTHENTICATION SASL_AUTHENTICATION_FAILED ILLEGAL_SASL_STATE UNSUPPORTED_SASL_MECHANISM
        UNACCEPTABLE_CREDENTIAL DELEGATION_TOKEN_AUTH_DISABLED DELEGATION_TOKEN_EXPIRED
        DELEGATION_TOKEN_NOT_FOUND DELEGATION_TOKEN_OWNER_MISMATCH
        DELEGATION_TOKEN_REQUEST_NOT_ALLOWED PRINCIPAL_DESERIALIZATION_FAILURE
        INVALID_PRINCIPAL_TYPE""",
    "not_authorized": """
        TOPIC_AUTHORIZATION_FAILED CLUSTER_AUTHORIZATION_FAILED GROUP_AUTHORIZATION_FAILED
        TRANSACTIONAL_ID_AUTHORIZATION_FAILED DELEGATION_TOKEN_AUTHORIZATION_FAILED
        SECURITY_DISABLED""",
    "unknown_topic": """
        UNKNOWN_TOPIC_OR_PART UNKNOWN_TOPIC_ID INCONSISTENT_TOPIC_ID TOPIC_EXCEPTION
        _UNKNOWN_TOPIC""",
    "unknown_partition": "_UNKNOWN_PARTITION INVALID_PARTITIONS",
    "no_leader": """
        LEADER_NOT_AVAILABLE NOT_LEADER_FOR_PARTITION ELIGIBLE_LEADERS_NOT_AVAILABLE
        PREFERRED_LEADER_NOT_AVAILABLE REPLICA_NOT_AVAILABLE FENCED_LEADER_EPOCH
        UNKNOWN_LEADER_EPOCH LISTENER_NOT_FOUND NOT_CONTROLLER STALE_CTRL_EPOCH
        STALE_BROKER_EPOCH UNKNOWN_CONTROLLER_ID MISMATCHED_ENDPOINT_TYPE
        UNSUPPORTED_ENDPOINT_TYPE ELECTION_NOT_NEEDED""",
    "not_enough_replicas": "NOT_ENOUGH_REPLICAS NOT_ENOUGH_REPLICAS_AFTER_APPEND _ISR_INSUFF",
    "throttled": "THROTTLING_QUOTA_EXCEEDED",
    "storage_failed": "KAFKA_STORAGE_ERROR LOG_DIR_NOT_FOUND",
    "refused_by_broker": """
        INVALID_MSG INVALID_RECORD INVALID_TIMESTAMP INVALID_REQUIRED_ACKS INVALID_REQUEST
        POLICY_VIOLATION UNSUPPORTED_FOR_MESSAGE_FORMAT UNSUPPORTED_COMPRESSION_TYPE
        UNSUPPORTED_VERSION INVALID_CONFIG INVALID_REPLICATION_FACTOR INVALID_REPLICA_ASSIGNMENT
        TOPIC_ALREADY_EXISTS TOPIC_DELETION_DISABLED DUPLICATE_RESOURCE RESOURCE_NOT_FOUND
        FEATURE_UPDATE_FAILED OPERATION_NOT_ATTEMPTED""",
    "fatal": """
        _FATAL _FENCED _GAPLESS_GUARANTEE OUT_OF_ORDER_SEQUENCE_NUMBER DUPLICATE_SEQUENCE_NUMBER
        UNKNOWN_PRODUCER_ID INVALID_PRODUCER_EPOCH INVALID_PRODUCER_ID_MAPPING PRODUCER_FENCED""",
    "client_misused": """
        _APPLICATION _CONFLICT _CRIT_SYS_RESOURCE _EXISTING_SUBSCRIPTION _FAIL _FS _INCONSISTENT
        _INTR _INVALID_ARG _INVALID_DIFFERENT_RECORD _INVALID_TYPE _IN_PROGRESS _NOENT _NOOP
        _NOT_CONFIGURED _NOT_IMPLEMENTED _OUTDATED _PREV_IN_PROGRESS _READ_ONLY _RETRY _STATE
        _UNKNOWN_PROTOCOL _UNSUPPORTED_FEATURE _WAIT_CACHE""",
    "malformed": """
        _BAD_COMPRESSION _BAD_MSG _KEY_DESERIALIZATION _KEY_SERIALIZATION _PARTIAL _UNDERFLOW
        _VALUE_DESERIALIZATION _VALUE_SERIALIZATION""",
    "reading_failed": """
        _ASSIGNMENT_LOST _ASSIGN_PARTITIONS _AUTO_OFFSET_RESET _LOG_TRUNCATION _MAX_POLL_EXCEEDED
        _NO_OFFSET _PARTITION_EOF _REVOKE_PARTITIONS _UNKNOWN_GROUP _WAIT_COORD
        COORDINATOR_LOAD_IN_PROGRESS COORDINATOR_NOT_AVAILABLE NOT_COORDINATOR
        FETCH_SESSION_ID_NOT_FOUND INVALID_FETCH_SESSION_EPOCH OFFSET_NOT_AVAILABLE
        OFFSET_OUT_OF_RANGE FENCED_INSTANCE_ID FENCED_MEMBER_EPOCH STALE_MEMBER_EPOCH
        GROUP_ID_NOT_FOUND GROUP_MAX_SIZE_REACHED GROUP_SUBSCRIBED_TO_TOPIC ILLEGAL_GENERATION
        INCONSISTENT_GROUP_PROTOCOL INVALID_GROUP_ID INVALID_REGULAR_EXPRESSION
        INVALID_SESSION_TIMEOUT MEMBER_ID_REQUIRED NON_EMPTY_GROUP REBALANCE_IN_PROGRESS
        UNKNOWN_MEMBER_ID UNRELEASED_INSTANCE_ID UNSTABLE_OFFSET_COMMIT UNSUPPORTED_ASSIGNOR""",
    "broker_error": """
        UNKNOWN CONCURRENT_TRANSACTIONS INVALID_TRANSACTION_TIMEOUT INVALID_TXN_STATE
        TRANSACTION_ABORTABLE TRANSACTION_COORDINATOR_FENCED NO_REASSIGNMENT_IN_PROGRESS
        REASSIGNMENT_IN_PROGRESS DUPLICATE_VOTER VOTER_NOT_FOUND INCONSISTENT_VOTER_SET
        INVALID_VOTER_KEY INVALID_UPDATE_VERSION INVALID_REGISTRATION UNKNOWN_SUBSCRIPTION_ID
        FENCED_STATE_EPOCH INVALID_RECORD_STATE INVALID_SHARE_SESSION_EPOCH
        SHARE_SESSION_LIMIT_REACHED SHARE_SESSION_NOT_FOUND STREAMS_INVALID_TOPOLOGY
        STREAMS_INVALID_TOPOLOGY_EPOCH STREAMS_TOPOLOGY_FENCED""",
}

REASONS: Final[Mapping[str, str]] = {
    name: reason for reason, names in _CODES_OF.items() for name in names.split()
}
"""The reason of each librdkafka error, by the error's name."""

_FOR_GOOD: Final = frozenset({"delivered", "too_large", "refused_by_broker", "malformed"})
"""Reasons that hold for the same record at any other time too."""

_FOR_GOOD_BY_NAME: Final = {
    "TOPIC_EXCEPTION",
    "UNSUPPORTED_SASL_MECHANISM",
    "_INVALID_ARG",
    "_INVALID_TYPE",
    "_NOT_IMPLEMENTED",
    "_UNSUPPORTED_FEATURE",
}
"""Errors that hold for good although others of the same reason pass."""


def codes() -> dict[str, int]:
    """Give the codes of the installed librdkafka by their names."""
    return {
        name: code
        for name, code in vars(KafkaError).items()
        if name.isupper() and isinstance(code, int)
    }


_REASON_OF_CODE: Final = {code: REASONS[name] for name, code in codes().items() if name in REASONS}

_CODES_FOR_GOOD: Final = frozenset(
    code
    for name, code in codes().items()
    if name in _FOR_GOOD_BY_NAME or REASONS.get(name) in _FOR_GOOD
)


def reason_of(error: KafkaError) -> str:
    """Give our reason for an error; one that is newer than this table counts as the broker's."""
    return _REASON_OF_CODE.get(error.code(), "broker_error")


def is_passing(error: KafkaError) -> bool:
    """Whether a record that met this error may well arrive if it is sent again later.

    An error that is newer than the table counts as passing: to try again loses nothing.
    """
    return error.code() not in _CODES_FOR_GOOD


def describe(error: KafkaError) -> str:
    """Write an error for a person: our reason and librdkafka's own text."""
    return f"{reason_of(error)}: {error.str()}"


def error_of(exception: Exception) -> KafkaError | None:
    """Give the librdkafka error that an exception carries."""
    cause = exception.args[0] if exception.args else None
    return cause if isinstance(cause, KafkaError) else None
