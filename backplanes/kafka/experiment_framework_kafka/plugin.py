"""The Kafka backplane, as the data plane sees it."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from experiment_framework.plugin import (
    Backplane,
    DeliveryError,
    Encoder,
    Health,
    Problem,
    Provisioned,
    Query,
    QueueFullError,
    Record,
    Stored,
    at_hand,
)

from experiment_framework_kafka.checks import check_options
from experiment_framework_kafka.client_call import forget_client_calls
from experiment_framework_kafka.logs import ClientLog
from experiment_framework_kafka.oauth import OAuthToken, TokenSource
from experiment_framework_kafka.options import KafkaOptions
from experiment_framework_kafka.settings import (
    Settings,
    admin_settings,
    consumer_settings,
    describable_settings,
)
from experiment_framework_kafka.topics import TopicNames

if TYPE_CHECKING:
    from experiment_framework_kafka.dead_letters import DeadLetterTopic
    from experiment_framework_kafka.service import KafkaService

__all__ = ["KafkaBackplane"]

START_AGAIN: Final = 1.0
"""Seconds after a failed start before the next attempt."""


class KafkaBackplane(Backplane[KafkaOptions]):
    """Takes records to Apache Kafka through librdkafka's own queue.

    The client is made by the first record, or by the first question for health.

    Args:
        options: What to connect to and how.
        oauth_token: Gives an access token and when it expires (seconds since the epoch), for
            ``mechanism: OAUTHBEARER``, for example signed for MSK IAM. It is called on a thread of
            its own, again and again before tokens expire; what it raises is logged and retried.
        allow_unsafe_settings: Allow settings in ``additionalConfig`` that load shared libraries or
            run commands.
    """

    def __init__(
        self,
        options: KafkaOptions,
        *,
        oauth_token: OAuthToken | None = None,
        allow_unsafe_settings: bool = False,
    ) -> None:
        super().__init__(options)
        self._oauth_token = oauth_token
        self._allow_unsafe_settings = allow_unsafe_settings
        self._topics = TopicNames(options)
        self._encoder: Encoder[Any] | None = None
        self._closed = threading.Event()
        self._letters: DeadLetterTopic | None = None
        self._begin()

    def _begin(self) -> None:
        """Have no client yet, in a new backplane and in a forked process."""
        self._starting = threading.RLock()
        self._is_starting = False
        self._service: KafkaService | None = None
        self._starter: threading.Thread | None = None
        self._failed_start: tuple[str, float] | None = None
        self._publish: Callable[[Record], None] = self._first_publish

    def check(self, options: KafkaOptions) -> Iterator[Problem]:
        """Find contradictions, unreadable files, settings that librdkafka does not take."""
        return check_options(
            options,
            has_token_source=self._oauth_token is not None,
            allow_unsafe=self._allow_unsafe_settings,
        )

    def client_settings(
        self, options: KafkaOptions, max_queue_size: int, max_queue_bytes: int
    ) -> Mapping[str, str]:
        """Say what librdkafka's producer is given, secrets masked."""
        return describable_settings(options, queue_size=max_queue_size, queue_bytes=max_queue_bytes)

    def encode_with(self, encoder: Encoder[Any]) -> None:
        """Let an encoder make the bodies of messages, and read them."""
        self._encoder = encoder

    def open(self) -> None:
        """Look whether the data plane and the options want the same reports; connect nowhere.

        Raises:
            DeliveryError: They do not.
        """
        if self.options.delivery_reports == "failures" and self.context.report_each:
            raise DeliveryError(
                "deliveryReports: failures reports no deliveries, and something that is declared "
                "needs each one: use auto or all"
            )
        # The client's library takes longer to load than a first event should wait for it.
        importlib.import_module("experiment_framework_kafka.service")
        if self._encoder is not None:
            self._encoder.open(dict(self._topics.by_type))
        self._letters = self._dead_letter_topic()

    def publish(self, record: Record) -> None:
        """Queue one record in librdkafka."""
        self._publish(record)

    def dead_letter(self, record: Record, reason: str) -> bool:
        """Send a record to the topic for dead letters, where one is declared."""
        if self._letters is None:
            return False
        self._letters.keep(record, reason)
        return True

    def outstanding(self) -> int:
        """Count the records that have no fate yet."""
        return 0 if self._service is None else self._service.outstanding()

    def flush(self, timeout: float) -> bool:
        """Wait until nothing is outstanding, at most ``timeout`` seconds; say whether it was so."""
        return self._service is None or self._service.flush(timeout)

    @at_hand
    def health(self) -> Health:
        """Say how Kafka is doing, from what brokers and reports last said."""
        found = self._events_health()
        if self._letters is None:
            return found
        from experiment_framework_kafka.health import with_dead_letters

        return with_dead_letters(found, self._letters)

    def _events_health(self) -> Health:
        if self._service is not None:
            return self._service.health()
        if self._closed.is_set():
            return Health.judge(unhealthy=("the backplane is closed",))
        self._start_aside()
        if self._failed_start is not None:
            return Health.judge(unhealthy=(self._failed_start[0],))
        details = {"answered": False}
        return Health.judge(degraded=("the client is being made",), details=details)

    def close(self, timeout: float) -> None:
        """Flush, take back what is left and report it as failed."""
        deadline = time.monotonic() + timeout
        self._closed.set()
        self._publish = self._first_publish
        try:
            if self._service is not None:
                self._service.close(timeout)
        except BaseException:
            deadline = 0.0  # Ctrl-C: whoever asks to stop does not want to wait
            raise
        finally:
            if self._letters is not None:
                self._letters.close(max(deadline - time.monotonic(), 0.0))

    def after_fork(self) -> None:
        """Leave the parent process its client; this process makes its own at first use."""
        forget_client_calls()
        if not self._closed.is_set():
            self._closed = threading.Event()  # whose lock somebody may have held
        if self._service is not None:
            self._service.leave_to_parent()
        if self._letters is not None and not self._closed.is_set():
            self._letters.leave_to_parent()
            self._letters = self._dead_letter_topic()
        self._begin()

    def provision(self) -> Iterable[Provisioned]:
        """Create the topics that are missing, with the declared partitions, copies, retention."""
        from experiment_framework_kafka.provisioning import provision_topics

        settings = self._with_token(admin_settings(self.options))
        return provision_topics(settings, self._topics.needed, self.options.provision)

    def read(self, query: Query) -> Iterator[Stored]:
        """Read records back, oldest first within a partition."""
        from experiment_framework_kafka.reading import read_topics

        settings = self._with_token(consumer_settings(self.options))
        return read_topics(
            settings,
            self._topics.of_types(query.event_types),
            query,
            decode=None if self._encoder is None else self._encoder.decode,
        )

    def _first_publish(self, record: Record) -> None:
        self._start().publish(record)

    def _start_aside(self) -> None:
        """Start on a thread of its own: whoever asks for health does not wait."""
        if self._starter is None or not self._starter.is_alive():
            self._starter = threading.Thread(
                target=self._try_start, name="experiment-kafka-start", daemon=True
            )
            self._starter.start()

    def _try_start(self) -> None:
        try:
            self._start()
        except DeliveryError:
            return  # health says why

    def _start(self) -> KafkaService:
        """Make the client, once; nobody uses it before `close` and `outstanding` know it.

        Raises:
            DeliveryError: It cannot be made; the next attempt is a second later at the earliest.
        """
        with self._starting:
            if self._closed.is_set():
                raise DeliveryError("the backplane is closed")
            if self._service is not None:
                return self._service
            if self._is_starting:  # by this thread: a signal handler of it publishes
                raise QueueFullError("the client is being made")
            if self._failed_start is not None and time.monotonic() < self._failed_start[1]:
                raise DeliveryError(self._failed_start[0])
            self._is_starting = True
            try:
                self._service = service = self._make_service()
            except DeliveryError as error:
                self._failed_start = (str(error), time.monotonic() + START_AGAIN)
                raise
            finally:
                self._is_starting = False
            self._failed_start = None
            if self._closed.is_set():  # while the client was being made
                self.close(0)
                raise DeliveryError("the backplane is closed")
            self._publish = service.publish
            if self._closed.is_set():  # just now: whoever closes it has let go of it before
                self._publish = self._first_publish
            return service

    def _make_service(self) -> KafkaService:
        from experiment_framework_kafka.service import KafkaService

        return KafkaService(
            self.options,
            self.context,
            self._topics,
            encoder=self._encoder,
            oauth_token=self._oauth_token,
            use=self._switch_to,
        )

    def _dead_letter_topic(self) -> DeadLetterTopic | None:
        if self.options.dead_letter_topic is None:
            return None
        from experiment_framework_kafka.dead_letters import DeadLetterTopic

        return DeadLetterTopic(self.options, self._topics, self._oauth_token)

    def _switch_to(self, publish: Callable[[Record], None]) -> None:
        if self._service is not None and not self._closed.is_set():
            self._publish = publish

    def _with_token(self, settings: Settings) -> dict[str, object]:
        if self._oauth_token is None:
            return {**settings}
        return {**settings, "oauth_cb": TokenSource(self._oauth_token, ClientLog())}
