"""Which records share a partition: the key of a record, and real round robin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Final

from experiment_framework.plugin import Record

from experiment_framework_kafka.options import KafkaOptions

__all__ = ["ANY_PARTITION", "RoundRobin", "key_rule"]

ANY_PARTITION: Final = -1
"""The partitioner decides."""

KeyRule = Callable[[Record], str]


def key_rule(options: KafkaOptions) -> KeyRule | None:
    """Give the function that finds the key of a record; None for round robin, which has no keys.

    An empty id counts as a missing one. A missing id never becomes a key that many records share
    by accident: the declared fallback takes its place.
    """
    return _RULES.get((options.partition_by, options.key_fallback))


def _experiment_or_event(record: Record) -> str:
    return record.experiment_name or record.event_id


def _subject_or_experiment(record: Record) -> str:
    return record.subject_id or record.experiment_name or record.event_id


def _subject_or_event(record: Record) -> str:
    return record.subject_id or record.event_id


def _tenant_or_experiment(record: Record) -> str:
    return record.tenant_id or record.experiment_name or record.event_id


def _tenant_or_event(record: Record) -> str:
    return record.tenant_id or record.event_id


_RULES: Final[Mapping[tuple[str, str], KeyRule]] = {
    ("experimentKey", "experiment"): _experiment_or_event,
    ("experimentKey", "eventId"): _experiment_or_event,
    ("subjectId", "experiment"): _subject_or_experiment,
    ("subjectId", "eventId"): _subject_or_event,
    ("tenantId", "experiment"): _tenant_or_experiment,
    ("tenantId", "eventId"): _tenant_or_event,
}


class RoundRobin:
    """Takes the partitions of each topic in turn, once their number is known."""

    def __init__(self) -> None:
        self._turns: dict[str, tuple[Callable[[], int], int]] = {}

    def learn(self, partition_counts: Mapping[str, int]) -> None:
        """Take note of how many partitions topics have; a known topic keeps its turn."""
        turns = {
            topic: (self._turns[topic][0] if topic in self._turns else count().__next__, partitions)
            for topic, partitions in partition_counts.items()
            if partitions > 0
        }
        self._turns = turns

    def next(self, topic: str) -> int:
        """Give the partition whose turn it is; `ANY_PARTITION` while their number is unknown."""
        found = self._turns.get(topic)
        if found is None:
            return ANY_PARTITION
        turn, partitions = found
        return turn() % partitions
