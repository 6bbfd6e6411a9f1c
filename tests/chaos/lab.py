"""Where one fault is provoked: a topic, a spool, publishing programs, and the audit at the end."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from chaos_audit import Found, Row, balance, found_in, judge
from kafka_audit import create_topics
from proxied_kafka import ProxiedKafka
from publishers import Note, Publisher, configuration

__all__ = ["Lab"]

_topics = itertools.count(1)


class Lab:
    """What a test of one fault needs.

    Attributes:
        broker: The broker, shared by all tests.
        topic: A topic of this test's own.
        spool: The folder of the spool.
        random: Choices that follow from the seed.
    """

    def __init__(
        self, broker: ProxiedKafka, folder: Path, choices: random.Random, rows: list[Row]
    ) -> None:
        self.broker = broker
        self.random = choices
        self.spool = folder / "spool"
        self.topic = f"chaos-{next(_topics)}"
        self.create_topic()
        self._folder = folder
        self._rows = rows
        self._publishers: list[Publisher] = []
        self._began = time.monotonic()

    def create_topic(self) -> None:
        """Make the topic, anew where it was deleted."""
        create_topics(self.broker.bootstrap_servers, {self.topic: 3})

    def start(
        self,
        *options: str,
        mode: str,
        environment: dict[str, str] | None = None,
        **settings: Any,
    ) -> Publisher:
        """Start a publishing program on the spool of this lab."""
        config = configuration(
            self._folder / f"{mode}.yaml",
            broker=self.broker.proxied_servers,
            topic=self.topic,
            directory=settings.pop("directory", self.spool),
            mode=mode,
            **settings,
        )
        name = f"publisher-{len(self._publishers)}"
        publisher = Publisher(name, config, *options, environment=environment)
        self._publishers.append(publisher)
        return publisher

    def notes(self) -> Iterable[Note]:
        """What all programs noted."""
        return itertools.chain.from_iterable(each.notes() for each in self._publishers)

    def found(self) -> Found:
        """What is in the topic now."""
        return found_in(self.broker.bootstrap_servers, self.topic)

    def audit(
        self,
        fault: str,
        *outcomes: dict[str, Any],
        explained: Collection[str] = (),
    ) -> Row:
        """Find nothing lost, and the accounts of the programs that ended well in balance.

        Args:
            fault: What was done, for the table.
            outcomes: What the programs that ended well said.
            explained: Ids that may be missing, because the test itself has destroyed them.
        """
        found = self.found()
        row = judge(
            fault,
            notes=self.notes(),
            found=found,
            seconds=time.monotonic() - self._began,
            explained=explained,
            failed=sum(outcome["stats"]["failed"] for outcome in outcomes),
        )
        self._rows.append(row)
        assert row.lost == 0, (row, outcomes)
        for outcome in outcomes:
            stats = outcome["stats"]
            assert balance(stats) == 0, stats
            assert (stats["pending"], stats["spooled"]) == (0, 0), stats
        return row

    def leave(self) -> None:
        """Let the programs go, and have the broker as it was."""
        for publisher in self._publishers:
            publisher.leave()
        self.broker.proxy.restore()
