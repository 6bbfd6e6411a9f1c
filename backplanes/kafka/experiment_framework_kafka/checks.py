"""What is wrong between options, found offline: no connection, no client, no thread."""

from __future__ import annotations

from collections.abc import Iterator

from experiment_framework.plugin import Problem

from experiment_framework_kafka.additional_config import check_additional_config
from experiment_framework_kafka.options import KafkaOptions, written_name
from experiment_framework_kafka.security import check_security
from experiment_framework_kafka.topics import (
    DEFAULT_TOPICS,
    OPTION_OF_TYPE,
    TopicNames,
    is_topic_name,
)

__all__ = ["check_options"]

MOST_IDEMPOTENT_IN_FLIGHT = 5
LARGEST_PORT = 65_535


def check_options(
    options: KafkaOptions, *, has_token_source: bool, allow_unsafe: bool
) -> Iterator[Problem]:
    """Find every problem.

    Args:
        options: Options whose single values are right.
        has_token_source: Whether code provides access tokens.
        allow_unsafe: Whether settings are allowed that load libraries or run commands.
    """
    yield from _brokers(options)
    yield from _topics(options)
    yield from _dead_letter_topic(options)
    yield from _idempotence(options)
    yield from _times_and_sizes(options)
    yield from check_security(options.security, has_token_source=has_token_source)
    yield from check_additional_config(options, allow_unsafe=allow_unsafe)


def _brokers(options: KafkaOptions) -> Iterator[Problem]:
    for index, broker in enumerate(options.brokers):
        host, _, port = broker.rpartition(":")
        is_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) <= LARGEST_PORT
        has_brackets = host.startswith("[") and host.endswith("]")
        is_host = host.split() == [host] and "/" not in host and (has_brackets or ":" not in host)
        if not is_port or not is_host:
            yield Problem(
                message="is no address of a broker",
                path=("brokers", index),
                found=broker,
                expected="host:port",
                suggestion=f"Kafka's usual port is 9092: {broker}:9092"
                if broker and not set(broker) & set(":/")
                else None,
            )


def _topics(options: KafkaOptions) -> Iterator[Problem]:
    own: dict[tuple[str, ...], str] = {
        ("topics", written_name(field)): getattr(options.topics, field)
        for field in OPTION_OF_TYPE.values()
        if options.topics is not None and getattr(options.topics, field) is not None
    }
    if options.topic is not None:
        own["topic",] = options.topic
    yield from (_bad_name(path, name) for path, name in own.items() if not is_topic_name(name))
    prefix = options.topic_prefix
    if prefix is not None and not all(is_topic_name(prefix + t) for t in DEFAULT_TOPICS.values()):
        yield _bad_name(("topic_prefix",), prefix)
    for path in (("topics",), ("topic_prefix",)):
        if options.topic is not None and getattr(options, path[0]) is not None:
            yield Problem(
                message=f"topic takes all events: {written_name(path[0])} would have no effect",
                path=_written(path),
                involves=(("topic",), _written(path)),
                suggestion=f"leave out topic or {written_name(path[0])}",
            )


def _dead_letter_topic(options: KafkaOptions) -> Iterator[Problem]:
    name, path = options.dead_letter_topic, ("deadLetterTopic",)
    if name is None:
        return
    if not is_topic_name(name):
        yield _bad_name(path, name)
    if name in TopicNames(options).all:
        yield Problem(
            message="takes events too: whoever reads them could not tell them from dead letters",
            path=path,
            found=name,
            suggestion=f"use a topic of its own, such as {name}-dead-letters"[:249],
        )


def _bad_name(path: tuple[str, ...], name: str) -> Problem:
    return Problem(
        message="is no name of a topic",
        path=_written(path),
        found=name,
        expected="at most 249 of the characters A-Z a-z 0-9 . _ -",
    )


def _idempotence(options: KafkaOptions) -> Iterator[Problem]:
    if not options.enable_idempotence:
        return
    if options.acks not in ("all", "-1"):
        yield Problem(
            message=f"acks: {options.acks} contradicts enableIdempotence, which needs acks: all",
            path=("acks",),
            involves=(("acks",), ("enableIdempotence",)),
            suggestion="add `enableIdempotence: false` or use `acks: all`",
        )
    if options.max_in_flight > MOST_IDEMPOTENT_IN_FLIGHT:
        yield Problem(
            message=f"maxInFlight: {options.max_in_flight} contradicts enableIdempotence, which "
            f"allows {MOST_IDEMPOTENT_IN_FLIGHT}",
            path=("maxInFlight",),
            involves=(("maxInFlight",), ("enableIdempotence",)),
            suggestion="add `enableIdempotence: false` or use "
            f"`maxInFlight: {MOST_IDEMPOTENT_IN_FLIGHT}`",
        )


def _times_and_sizes(options: KafkaOptions) -> Iterator[Problem]:
    if options.delivery_timeout_ms <= options.linger_ms:
        yield Problem(
            message="lingerMs has to be shorter than deliveryTimeoutMs: records would time out "
            "while they wait for their batch",
            path=("lingerMs",),
            involves=(("lingerMs",), ("deliveryTimeoutMs",)),
            suggestion="shorten lingerMs or lengthen deliveryTimeoutMs",
        )


def _written(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(written_name(part) for part in path)
