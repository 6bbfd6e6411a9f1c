"""The verdict on Kafka, from figures at hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from experiment_framework.plugin import Health

from experiment_framework_kafka.cluster import ANSWER_TIMEOUT, CALM, ClusterView
from experiment_framework_kafka.dead_letters import DeadLetterTopic
from experiment_framework_kafka.fates import Fates
from experiment_framework_kafka.oauth import TokenSource
from experiment_framework_kafka.producer import KafkaProducer
from experiment_framework_kafka.succession import Succession

__all__ = ["judge", "with_dead_letters"]

SLOW: Final = 5.0
"""Seconds beyond ``lingerMs`` that a record may wait before that is worth a look."""

STUCK: Final = 30.0
"""Seconds beyond ``lingerMs`` that a record may wait before nothing seems to get through."""

CROWDED: Final = 0.8
"""Share of the queue in use from which on that is worth a look."""

RECENT: Final = 60.0
"""Seconds for which a failed delivery is worth a look."""


def judge(
    producer: KafkaProducer,
    succession: Succession,
    view: ClusterView,
    fates: Fates,
    tokens: TokenSource | None,
    *,
    brokers: str,
    queue_size: int,
    linger: float,
) -> Health:
    """Say how Kafka is doing; nothing is asked of anybody.

    Args:
        producer: Its counts and complaints.
        succession: Whether a client gave up.
        view: What brokers last said.
        fates: What became of records.
        tokens: Where access tokens come from, if from code.
        brokers: The configured brokers, for messages.
        queue_size: How many records may wait.
        linger: Seconds that records wait for their batch anyway.
    """
    producer.observe()
    now = time.monotonic()
    since = producer.progress.waiting_since
    waiting = 0.0 if since is None else max(now - since - linger, 0.0)
    fill = min(producer.outstanding() / queue_size, 1.0)
    unhealthy = [
        *_client_failures(succession, tokens, view),
        *_silence(producer, view, brokers, now),
    ]
    degraded = [*_replacing(succession), *_connecting(view, brokers, now)]
    if waiting > STUCK:
        unhealthy.append(f"nothing gets through: records have been waiting for {waiting:.0f} s")
    elif waiting > SLOW:
        degraded.append(f"records have been waiting for {waiting:.0f} s")
    if view.missing:
        degraded.append(f"no such topic: {', '.join(view.missing)}")
    if fill >= CROWDED:
        degraded.append(f"the queue is {fill:.0%} full")
    if fates.last_failure is not None and now - fates.last_failure[1] < RECENT:
        reason, moment = fates.last_failure
        degraded.append(
            f"{fates.failed} deliveries failed, the last one {now - moment:.0f} s ago: {reason}"
        )
    return Health.judge(
        unhealthy=tuple(unhealthy),
        degraded=tuple(degraded),
        details=_details(producer, succession, view, now, fill),
    )


def with_dead_letters(found: Health, letters: DeadLetterTopic) -> Health:
    """Add what became of dead letters; those that were lost are worth a look for a while."""
    degraded = found.reasons if found.status == "DEGRADED" else ()
    if letters.last_loss is not None:
        reason, moment = letters.last_loss
        if (ago := time.monotonic() - moment) < RECENT:
            lost = f"{letters.lost} dead letters were lost"
            degraded += (f"{lost}, the last one {ago:.0f} s ago: {reason}",)
    return Health.judge(
        unhealthy=found.reasons if found.status == "UNHEALTHY" else (),
        degraded=degraded,
        details=found.details
        | {
            "deadLettersSent": letters.sent,
            "deadLettersWaiting": letters.waiting,
            "deadLettersNotSent": letters.lost,
        },
    )


def _client_failures(
    succession: Succession, tokens: TokenSource | None, view: ClusterView
) -> Iterator[str]:
    if succession.is_hopeless:
        yield f"Kafka's clients give up one after the other: {succession.failure}"
    if tokens is not None and tokens.failure is not None and view.silent_since is not None:
        yield f"no access token: {tokens.failure}"


def _replacing(succession: Succession) -> Iterator[str]:
    if succession.failure is not None and not succession.is_hopeless:
        yield f"Kafka's client gave up for good, another takes its place: {succession.failure}"


def _silence(producer: KafkaProducer, view: ClusterView, brokers: str, now: float) -> Iterator[str]:
    late = (
        view.answered_at is not None
        and view.silent_since is None
        and now - view.answered_at > CALM + 2 * ANSWER_TIMEOUT
    )
    if view.silent_since is not None:
        why = producer.complaints.latest or view.error
        yield f"no broker of {brokers} has answered for {now - view.silent_since:.1f} s: {why}"
    elif late and view.answered_at is not None:
        yield f"no broker of {brokers} has been asked for {now - view.answered_at:.0f} s"


def _connecting(view: ClusterView, brokers: str, now: float) -> Iterator[str]:
    if view.answered_at is None and view.silent_since is None:
        asked = "" if view.asked_since is None else f", asked {now - view.asked_since:.1f} s ago"
        yield f"no broker of {brokers} has answered yet{asked}"


def _details(
    producer: KafkaProducer, succession: Succession, view: ClusterView, now: float, fill: float
) -> dict[str, Any]:
    def age(moment: float | None) -> float | None:
        return None if moment is None else round(max(now - moment, 0.0), 3)

    return {
        "answered": view.answered_at is not None,
        "brokersReachable": view.brokers if view.silent_since is None else 0,
        "metadataAgeSeconds": age(view.answered_at),
        "lastDeliveryAgeSeconds": age(producer.progress.last_delivery),
        "oldestPendingAgeSeconds": age(producer.progress.waiting_since),
        "outstanding": producer.outstanding(),
        "queueFill": round(fill, 4),
        "missingTopics": list(view.missing),
        "isFatal": succession.failure is not None,
        "producersReplaced": succession.replaced,
        "lastComplaint": producer.complaints.latest,
    }
