"""All that is alive of a backplane: one client with its threads, in one process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

# The watcher's first answer would load it: a process forked meanwhile would wait for that for ever.
import confluent_kafka.admin  # noqa: F401  # as said above
from confluent_kafka import KafkaException
from experiment_framework.plugin import Context, DeliveryError, Encoder, Health, Record

from experiment_framework_kafka.backlog import Backlog
from experiment_framework_kafka.cluster import ClusterView, Watcher
from experiment_framework_kafka.errors import describe, error_of
from experiment_framework_kafka.fates import Fates
from experiment_framework_kafka.health import judge
from experiment_framework_kafka.inheritance import keep_for_ever
from experiment_framework_kafka.logs import ClientLog
from experiment_framework_kafka.oauth import OAuthToken, TokenSource
from experiment_framework_kafka.options import KafkaOptions
from experiment_framework_kafka.partitioning import RoundRobin, key_rule
from experiment_framework_kafka.producer import Complaints, KafkaProducer, refuse
from experiment_framework_kafka.progress import Progress
from experiment_framework_kafka.settings import producer_settings
from experiment_framework_kafka.succession import Succession
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
        encoder: What makes the bodies of messages; None where a record's own is sent.
        oauth_token: Where access tokens come from, if from code.
        use: Called with what publishes through the client in use, whenever that is another one.

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
        encoder: Encoder[Any] | None,
        oauth_token: OAuthToken | None,
        use: Callable[[Callable[[Record], None]], None],
    ) -> None:
        self._options = options
        self._context = context
        self._topics = topics
        self._encoder = encoder
        self._use = use
        self._log = ClientLog()
        backlog = Backlog(max_records=context.max_queue_size, max_bytes=context.max_queue_bytes)
        self._fates = Fates(
            context,
            self._log,
            backlog,
            decode=None if encoder is None else encoder.decode,
            is_idempotent=options.enable_idempotence,
        )
        self._tokens = None if oauth_token is None else TokenSource(oauth_token, self._log)
        self._view = ClusterView(topics.needed)
        self._progress = Progress()
        self._round_robin = RoundRobin()
        self._switching = threading.Lock()
        self._is_closed = False
        self._watcher: Watcher | None = None
        self._complaints = Complaints()
        self._succession = Succession(
            self._make_producer,
            self._fates,
            backlog,
            patience=options.delivery_timeout_ms / 1000,
            use=self._switch_to,
        )

    def _make_producer(self, succession: Succession) -> KafkaProducer:
        options, context = self._options, self._context
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
                topics=self._topics,
                key_of=key_rule(options),
                encoder=self._encoder,
                report_each=options.delivery_reports == "all" or context.report_each,
                progress=self._progress,
                round_robin=self._round_robin,
                gave_up=succession.replace,
            )
        except KafkaException as error:
            cause = error_of(error)
            why = str(error) if cause is None else describe(cause)
            raise DeliveryError(f"Kafka's client cannot be made: {why}") from error
        except OSError as error:
            raise DeliveryError(f"Kafka's client cannot be made: {error}") from error

    def _switch_to(self, producer: KafkaProducer) -> None:
        """Let everybody use this client, the first one or the one that took over."""
        with self._switching:
            if self._is_closed:
                return
            self.publish = producer.publish
            self._complaints = producer.complaints
            self._use(producer.publish)
            if self._watcher is not None:
                self._watcher.stop(LAST_WORDS)
            self._watcher = Watcher(producer.client, self._view, self._log, self._answered)

    def _answered(self) -> None:
        self._complaints.latest = None
        self._round_robin.learn(self._view.partitions)

    def outstanding(self) -> int:
        """Count the records that have no fate yet, or never got one before the client ended."""
        return self._succession.outstanding()

    def flush(self, timeout: float) -> bool:
        """Wait until nothing is outstanding, at most ``timeout`` seconds; say whether it was so."""
        return self._succession.flush(timeout)

    def health(self) -> Health:
        """Say how Kafka is doing, from figures at hand."""
        producer = self._succession.producer
        if producer is None:
            return Health.judge(unhealthy=("the backplane is closed",))
        return judge(
            producer,
            self._succession,
            self._view,
            self._fates,
            self._tokens,
            brokers=", ".join(self._options.brokers),
            queue_size=self._context.max_queue_size,
            linger=self._options.linger_ms / 1000,
        )

    def _obstacle(self) -> str:
        """Say what records wait for, as far as that is known."""
        if self._succession.failure is not None:
            return self._succession.failure
        missing = [name for name in self._view.missing if name in self._topics.all]
        if missing:
            return f"no such topic: {', '.join(missing)}"
        silence = self._complaints.latest or self._view.error
        return silence or "the time to close was too short for them"

    def close(self, timeout: float) -> None:
        """Deliver within the budget what can be, give the rest back, end the threads.

        The client ends with the watcher's thread, which holds it last: ending takes long where a
        name is being resolved, and nobody else should wait for that.
        """
        deadline = time.monotonic() + timeout
        failed = self._fates.failed
        try:
            self._succession.close(timeout)
        finally:
            if (taken_back := self._fates.failed - failed) > 0:
                obstacle = self._obstacle()
                self._log.log(
                    logging.WARNING, "%d records failed at close: %s", taken_back, obstacle
                )
            with self._switching:
                self._is_closed = True
                self.publish = refuse
                if self._watcher is not None:
                    self._watcher.stop(max(deadline - time.monotonic(), 0.0) + LAST_WORDS)

    def leave_to_parent(self) -> None:
        """Keep the parent process's clients as they are, unused, in a forked child."""
        for client in self._succession.clients:
            keep_for_ever(client)
