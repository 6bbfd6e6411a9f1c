"""A consumer that has nothing to do with the code that published."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from experiment_framework_kafka.demo.audit import Arrival
from experiment_framework_kafka.logs import ClientLog

__all__ = ["Witness"]

_PATIENCE: Final = 10.0
"""Seconds without a message before the witness takes what it lacks for lost."""

_AT_ONCE: Final = 1000


class Witness:
    """Reads a topic from its beginning with a plain client.

    Args:
        brokers: Where to connect.
        topic: What to read.
    """

    def __init__(self, brokers: str, topic: str) -> None:
        self._topic = topic
        self._positions: dict[int, int] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "experiment-demo-witness",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
            },
            logger=ClientLog(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._consumer.close()

    def read(self) -> Iterator[Arrival]:
        """Give every message that the topic has by now and was not given before."""
        self._assign()
        ends = {number: self._end(number) for number in self._positions}
        last = time.monotonic()
        while any(self._positions[number] < end for number, end in ends.items()):
            messages = self._consumer.consume(_AT_ONCE, timeout=0.1)
            for message in messages:
                if message.error() is None:
                    last = time.monotonic()
                    self._positions[_partition(message)] = (message.offset() or 0) + 1
                    yield _arrival(message)
            if time.monotonic() - last > _PATIENCE:
                return

    def _assign(self) -> None:
        if self._positions:
            return
        found = self._consumer.list_topics(self._topic, timeout=_PATIENCE).topics[self._topic]
        self._positions = dict.fromkeys(found.partitions, 0)
        self._consumer.assign(
            [TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in found.partitions]
        )

    def _end(self, partition: int) -> int:
        place = TopicPartition(self._topic, partition)
        _, end = self._consumer.get_watermark_offsets(place, timeout=_PATIENCE)
        return int(end)


def _partition(message: Message) -> int:
    partition = message.partition()
    assert partition is not None  # noqa: S101  # a message that was consumed has one
    return partition


def _arrival(message: Message) -> Arrival:
    headers = cast("list[tuple[str, bytes | None]] | None", message.headers())
    return Arrival(
        key=message.key(),
        partition=_partition(message),
        headers={name: (value or b"").decode() for name, value in headers or []},
        body=message.value() or b"",
    )
