"""All that is alive of a backplane: one client with its threads, in one process."""

from __future__ import annotations

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
        producer: The way in.

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
        self._fates = Fates(context)
        self._tokens = None if oauth_token is None else TokenSource(oauth_token, self._log)
        self._view = ClusterView(topics.all)
        self.producer = self._make_producer(context, topics)
        self._watcher = Watcher(self.producer.client, self._view, self._log, self._answered)

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
        self.producer.complaint = None
        self.producer.round_robin.learn(self._view.partitions)

    def health(self) -> Health:
        """Say how Kafka is doing, from figures at hand."""
        return judge(
            self.producer,
            self._view,
            self._fates,
            self._tokens,
            brokers=", ".join(self._options.brokers),
            queue_size=self._queue_size,
            linger=self._options.linger_ms / 1000,
        )

    def close(self, timeout: float) -> None:
        """Deliver within the budget what can be, give the rest back, end the threads."""
        deadline = time.monotonic() + timeout
        try:
            self.producer.close(timeout)
        finally:
            self._watcher.stop(max(deadline - time.monotonic(), 0.0) + LAST_WORDS)
