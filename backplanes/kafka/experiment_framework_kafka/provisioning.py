"""Creates the topics that the options name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # theirs, not marked so
    AdminClient,
    ClusterMetadata,
    NewTopic,
)
from experiment_framework.plugin import DeliveryError, Provisioned

from experiment_framework_kafka.errors import describe, error_of
from experiment_framework_kafka.logs import ClientLog
from experiment_framework_kafka.options import ProvisionOptions

__all__ = ["provision_topics"]

TIMEOUT: Final = 20.0
"""Seconds for each of the two questions to the cluster."""

BROKER_DEFAULT: Final = -1


def provision_topics(
    settings: Mapping[str, object], topics: tuple[str, ...], options: ProvisionOptions
) -> list[Provisioned]:
    """Create the topics that are missing; leave those that are there as they are.

    Raises:
        DeliveryError: No broker answers.
    """
    log = ClientLog()
    client = AdminClient(dict[str, Any](settings), logger=log)
    try:
        return list(_provision(client, topics, options))
    finally:
        client.poll(0)
        log.write(0)


def _provision(
    client: AdminClient, topics: tuple[str, ...], options: ProvisionOptions
) -> Iterator[Provisioned]:
    try:
        metadata = client.list_topics(timeout=TIMEOUT)
    except KafkaException as error:
        cause = error_of(error)
        why = str(error) if cause is None else describe(cause)
        raise DeliveryError(f"no broker answers: {why}") from error
    yield from (_existing(name, metadata, options) for name in topics if name in metadata.topics)
    wanted = [_new_topic(name, options) for name in topics if name not in metadata.topics]
    if not wanted:
        return
    answers = client.create_topics(wanted, operation_timeout=TIMEOUT / 2, request_timeout=TIMEOUT)
    for name, answer in answers.items():
        try:
            answer.result(timeout=TIMEOUT + 1)
        except KafkaException as error:
            yield _refused(name, error)
        except TimeoutError:
            yield Provisioned(name=f"topic {name}", action="failed", detail="timed_out")
        else:
            yield Provisioned(name=f"topic {name}", action="created", detail=_plan(options))


def _new_topic(name: str, options: ProvisionOptions) -> NewTopic:
    config = {} if options.retention_ms is None else {"retention.ms": str(options.retention_ms)}
    return NewTopic(
        name,
        num_partitions=options.partitions,
        replication_factor=options.replication_factor or BROKER_DEFAULT,
        config=config,
    )


def _plan(options: ProvisionOptions) -> str:
    parts = [f"{options.partitions} partitions"]
    if options.replication_factor is not None:
        parts.append(f"replication factor {options.replication_factor}")
    if options.retention_ms is not None:
        parts.append(f"retention {options.retention_ms} ms")
    return ", ".join(parts)


def _existing(name: str, metadata: ClusterMetadata, options: ProvisionOptions) -> Provisioned:
    partitions = len(metadata.topics[name].partitions)
    detail = f"{partitions} partitions"
    if partitions != options.partitions:
        detail += f" ({options.partitions} declared: not changed)"
    return Provisioned(name=f"topic {name}", action="exists", detail=detail)


def _refused(name: str, error: KafkaException) -> Provisioned:
    cause = error_of(error)
    if cause is not None and cause.code() == KafkaError.TOPIC_ALREADY_EXISTS:
        return Provisioned(name=f"topic {name}", action="exists", detail="made by somebody else")
    detail = str(error) if cause is None else describe(cause)
    return Provisioned(name=f"topic {name}", action="failed", detail=detail)
