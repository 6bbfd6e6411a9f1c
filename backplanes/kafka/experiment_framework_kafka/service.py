"""All that is alive of a backplane: one client with its threads, in one process."""

from __future__ import annotations

import logging
import time
from typing import Final

from confluent_kafka import KafkaException
from experiment_framework.plugin import Context, DeliveryError, Health

from experiment_framework_kafka.cluster import ClusterView, Watcher
from experiment_framework_kafka.errors import describe, error_of
from experiment_framework_kafka.fates import Fates
from experiment_framework_kafka.health import judge
from experiment_framework_kafka.logs import ClientLog
from experiment_framework_kafka.oauth import OAuthToken, TokenSource
from experiment_framework_kafka.options import KafkaOptions
from experiment_framework_kafka.partitioning import key_rule
from experiment_framework_kafka.producer import KafkaProducer
from experiment_framework_kafka.settings import producer_settings
from experiment_framework_kafka.topics import TopicNames

__all__ = ["KafkaService"]

LAST_WORDS: Final = 0.2
"""Seconds that the client's last log lines may take at close, beyond the budget."""


class KafkaService:
    """Makes the client and what belongs to it, in the right order; ends them in the reverse one.

    Args:
        options: Checked options.
        context: The data plane.
        topics: The topic of each event type.
        oauth_token: Where access tokens come from, if from code.

    Attributes:
        publish: Queues one record, or raises a `DeliveryError`.

    Raises:
        DeliveryError: librdkafka does not make a client of these options.
    """

    def __init__(
        self,
        options: KafkaOptions,
        context: Context,
        topics: TopicNames,
        *,
        oauth_token: OAuthToken | None,
    ) -> None:
        self._options = options
        self._queue_size = context.max_queue_size
        self._log = ClientLog()
        self._fates = Fates(context, self._log)
        self._tokens = None if oauth_token is None else TokenSource(oauth_token, self._log)
        self._view = ClusterView(topics.all)
        producer = self._make_producer(context, topics)
        self.publish = producer.publish
        self._producer: KafkaProducer | None = producer
        self._watcher = Watcher(producer.client, self._view, self._log, self._answered)

    def _make_producer(self, context: Context, topics: TopicNames) -> KafkaProducer:
        options = self._options
        try:
            settings: dict[str, object] = {
                **producer_settings(
                    options,
                    queue_size=context.max_queue_size,
                    queue_bytes=context.max_queue_bytes,
                )
            }
            if self._tokens is not None:
                settings["oauth_cb"] = self._tokens
            return KafkaProducer(
                settings,
                self._fates,
                self._log,
                topics=topics,
                key_of=key_rule(options),
                report_each=options.delivery_reports == "all" or context.report_each,
            )
        except KafkaException as error:
            cause = error_of(error)
            why = str(error) if cause is None else describe(cause)
            raise DeliveryError(f"Kafka's client cannot be made: {why}") from error
        except OSError as error:
            raise DeliveryError(f"Kafka's client cannot be made: {error}") from error

    def _answered(self) -> None:
        producer = self._producer
        if producer is not None:
            producer.complaints.latest = None
            producer.round_robin.learn(self._view.partitions)

    def outstanding(self) -> int:
        """Count the records that have no fate yet, or never got one before the client ended."""
        producer = self._producer
        return self._fates.without if producer is None else producer.outstanding()

    def flush(self, timeout: float) -> bool:
        """Wait until nothing is outstanding, at most ``timeout`` seconds; say whether it was so."""
        producer = self._producer
        return self._fates.without == 0 if producer is None else producer.flush(timeout)

    def health(self) -> Health:
        """Say how Kafka is doing, from figures at hand."""
        producer = self._producer
        if producer is None:
            return Health.judge(unhealthy=("the backplane is closed",))
        return judge(
            producer,
            self._view,
            self._fates,
            self._tokens,
            brokers=", ".join(self._options.brokers),
            queue_size=self._queue_size,
            linger=self._options.linger_ms / 1000,
        )

    def _obstacle(self, producer: KafkaProducer) -> str:
        """Say what records wait for, as far as that is known."""
        if self._view.missing:
            return f"no such topic: {', '.join(self._view.missing)}"
        silence = producer.complaints.latest or self._view.error
        return silence or "the time to close was too short for them"

    def close(self, timeout: float) -> None:
        """Deliver within the budget what can be, give the rest back, end the threads.

        The client ends with the watcher's thread, which holds it last: ending takes long where a
        name is being resolved, and nobody else should wait for that.
        """
        producer = self._producer
        if producer is None:
            return
        deadline = time.monotonic() + timeout
        failed = self._fates.failed
        try:
            producer.close(timeout)
        finally:
            if (taken_back := self._fates.failed - failed) > 0:
                obstacle = self._obstacle(producer)
                self._log.log(
                    logging.WARNING, "%d records failed at close: %s", taken_back, obstacle
                )
            self.publish = producer.publish
            self._producer = producer = None
            self._watcher.stop(max(deadline - time.monotonic(), 0.0) + LAST_WORDS)
