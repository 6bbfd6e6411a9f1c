"""A Kafka cluster inside this process, for demonstrations and quick tests.

It is librdkafka's mock cluster: real sockets on loopback, any client and any process can use it.
It is not Apache Kafka: it keeps nothing on disk, checks no permissions, and creates topics when
they are first used, with four partitions, never by request.
"""

from __future__ import annotations

import os
import time
import weakref
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from experiment_framework.plugin import DeliveryError

from experiment_framework_kafka.inheritance import keep_for_ever
from experiment_framework_kafka.logs import ClientLog

__all__ = ["EmbeddedKafka"]

START_TIMEOUT: Final = 10.0


class EmbeddedKafka:
    """A mock cluster that lives as long as the ``with`` block.

    Args:
        brokers: How many brokers it has.

    Attributes:
        bootstrap_servers: The brokers' addresses, ``host:port`` with commas between.
    """

    def __init__(self, brokers: int = 3) -> None:
        self.brokers = brokers
        self.bootstrap_servers = ""
        self._cluster: AdminClient | None = None

    def start(self) -> Self:
        """Start the cluster; takes some milliseconds.

        Raises:
            DeliveryError: It did not come up within ten seconds.
        """
        log = ClientLog()
        cluster = AdminClient({"test.mock.num.brokers": str(self.brokers)}, logger=log)
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                found = cluster.list_topics(timeout=1.0).brokers
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise DeliveryError(f"the embedded Kafka did not start: {error}") from error
                continue
            if len(found) == self.brokers or time.monotonic() > deadline:
                break
        self.bootstrap_servers = ",".join(f"{node.host}:{node.port}" for node in found.values())
        self._cluster = cluster
        _started.add(self)
        return self

    def stop(self) -> None:
        """Stop the cluster; what it held is gone. In a forked process, that is left alone."""
        _started.discard(self)
        self._cluster = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


_started: Final[weakref.WeakSet[EmbeddedKafka]] = weakref.WeakSet()

if hasattr(os, "register_at_fork"):

    def _leave_to_parent() -> None:
        for embedded in _started:
            keep_for_ever(embedded._cluster)  # noqa: SLF001  # this module's own class

    os.register_at_fork(after_in_child=_leave_to_parent)
