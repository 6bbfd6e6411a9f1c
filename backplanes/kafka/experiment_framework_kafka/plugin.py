"""The Kafka backplane, as the data plane sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from experiment_framework.plugin import (
    Backplane,
    Record,
)

from experiment_framework_kafka.logs import ClientLog
from experiment_framework_kafka.options import KafkaOptions
from experiment_framework_kafka.partitioning import key_rule
from experiment_framework_kafka.producer import KafkaProducer
from experiment_framework_kafka.settings import producer_settings
from experiment_framework_kafka.topics import TopicNames

__all__ = ["KafkaBackplane"]


class KafkaBackplane(Backplane[KafkaOptions]):
    """Takes records to Apache Kafka through librdkafka's own queue.

    Args:
        options: What to connect to and how.
    """

    def __init__(self, options: KafkaOptions) -> None:
        super().__init__(options)
        self._topics = TopicNames(options)
        self._starting = threading.Lock()
        self._producer: KafkaProducer | None = None
        self._publish: Callable[[Record], None] = self._first_publish

    def open(self) -> None:
        """Connect nowhere yet: the producer is made by the first record."""

    def publish(self, record: Record) -> None:
        """Queue one record in librdkafka."""
        self._publish(record)

    def outstanding(self) -> int:
        """Count the records that have no fate yet."""
        return 0 if self._producer is None else self._producer.outstanding()

    def flush(self, timeout: float) -> None:
        """Wait until nothing is outstanding, at most ``timeout`` seconds."""
        if self._producer is not None:
            self._producer.flush(timeout)

    def close(self, timeout: float) -> None:
        """Flush, take back what is left and report it as failed."""
        if self._producer is not None:
            self._producer.close(timeout)

    def _first_publish(self, record: Record) -> None:
        self._start().publish(record)

    def _start(self) -> KafkaProducer:
        with self._starting:
            if self._producer is None:
                reports = self.options.delivery_reports
                each = reports == "all" or (reports == "auto" and self.context.report_each)
                self._producer = KafkaProducer(
                    producer_settings(
                        self.options,
                        queue_size=self.context.max_queue_size,
                        queue_bytes=self.context.max_queue_bytes,
                        only_failures=not each,
                    ),
                    self.context,
                    ClientLog(),
                    topics=self._topics,
                    key_of=key_rule(self.options),
                    report_each=each,
                )
                self._publish = self._producer.publish
            return self._producer
