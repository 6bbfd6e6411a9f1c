"""What brokers last said about themselves and our topics; asked on a thread of ours."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException, Producer

from experiment_framework_kafka.client_call import client_call
from experiment_framework_kafka.errors import describe, error_of
from experiment_framework_kafka.logs import ClientLog

if TYPE_CHECKING:
    from confluent_kafka.admin import ClusterMetadata  # type: ignore[attr-defined]  # theirs, not marked so

__all__ = ["ClusterView", "Watcher"]

ANSWER_TIMEOUT: Final = 2.0
"""Seconds that brokers may take to answer, before they count as unreachable."""

CALM: Final = 10.0
"""Seconds between two questions while all is well; also how old an answer may get."""

ALERT: Final = 1.0
"""Seconds between two questions while brokers do not answer, or a topic is missing."""


class ClusterView:
    """The last answer to "who is there, and which topics?".

    Args:
        topics: The topics that matter.

    Attributes:
        asked_since: When the question was first asked, in monotonic seconds; None before.
        answered_at: When brokers last answered it; None before.
        silent_since: Since when they do not answer; None while they do.
        error: Why the last question had no answer.
        brokers: How many brokers there are.
        partitions: How many partitions each topic has that is there.
        missing: Those of our topics that are not there.
    """

    def __init__(self, topics: tuple[str, ...]) -> None:
        self.asked_since: float | None = None
        self.answered_at: float | None = None
        self.silent_since: float | None = None
        self.error: str | None = None
        self.brokers = 0
        self.partitions: Mapping[str, int] = {}
        self.missing: tuple[str, ...] = ()
        self._topics = topics

    @property
    def is_settled(self) -> bool:
        """Whether brokers answer and nothing is missing."""
        return self.answered_at is not None and self.silent_since is None and not self.missing

    def ask(self, client: Producer) -> bool:
        """Ask brokers, at most two seconds; say whether they answered.

        The question is for all topics: asking for one by name would create it.
        """
        asked = time.monotonic()
        if self.asked_since is None:
            self.asked_since = asked
        try:
            with client_call():
                metadata = client.list_topics(timeout=ANSWER_TIMEOUT)
        except KafkaException as error:
            cause = error_of(error)
            self.error = str(error) if cause is None else describe(cause)
            if self.silent_since is None:
                self.silent_since = asked if self.answered_at is None else self.answered_at
            return False
        self._note(metadata)
        return True

    def _note(self, metadata: ClusterMetadata) -> None:
        found = {name: metadata.topics[name] for name in self._topics if name in metadata.topics}
        self.brokers = len(metadata.brokers)
        self.partitions = {
            name: len(topic.partitions) for name, topic in found.items() if topic.partitions
        }
        self.missing = tuple(name for name in self._topics if name not in self.partitions)
        self.answered_at = time.monotonic()
        self.silent_since = self.error = None


class Watcher:
    """The thread that asks brokers from time to time and writes the client's log lines.

    It is not the one that serves reports: those must not wait for a broker or a log handler.

    Args:
        client: Whom to ask.
        view: Where answers are kept.
        log: The client's log lines.
        answered: Called after each answer.
    """

    def __init__(
        self, client: Producer, view: ClusterView, log: ClientLog, answered: Callable[[], None]
    ) -> None:
        self._view = view
        self._log = log
        self._answered = answered
        self._is_stopping = False
        self._thread = threading.Thread(
            target=self._watch, args=(client,), name="experiment-kafka-watch", daemon=True
        )
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Write the last lines and end; a question that is out is not waited for longer."""
        self._is_stopping = True
        self._log.wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _watch(self, client: Producer) -> None:
        while not self._is_stopping:
            try:
                if self._view.ask(client) and not self._is_stopping:
                    self._answered()
            except Exception as error:  # noqa: BLE001  # the thread must outlive one bad answer
                self._log.log(logging.ERROR, "asking brokers failed: %r", error)
            ask_again = time.monotonic() + (CALM if self._view.is_settled else ALERT)
            while (left := ask_again - time.monotonic()) > 0 and not self._is_stopping:
                self._log.write(left)
        self._log.write(0)
