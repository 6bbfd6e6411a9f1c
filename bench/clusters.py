"""The clusters that are measured on, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BROKER_SOURCES = Path(__file__).parents[1] / "tests" / "broker"

_MOCK = """
import sys
from experiment_framework_kafka import EmbeddedKafka
with EmbeddedKafka() as kafka:
    print(kafka.bootstrap_servers, flush=True)
    sys.stdin.read()
"""


@contextmanager
def cluster(name: str) -> Iterator[str]:
    """Give the addresses of ``mock``, ``apache``, or of brokers that run already.

    Raises:
        LookupError: Apache Kafka cannot be started here; the text says what is missing.
    """
    if name == "mock":
        with _mock_cluster() as servers:
            yield servers
    elif name == "apache":
        with _apache_kafka() as servers:
            yield servers
    else:
        yield name


@contextmanager
def _mock_cluster() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-c", _MOCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdout is None or process.stdin is None:
            raise AssertionError("both were asked for")
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


@contextmanager
def _apache_kafka() -> Iterator[str]:
    sys.path.append(str(BROKER_SOURCES))
    from apache_kafka import ApacheKafka, KafkaUnavailableError
    from kafka_audit import create_topics

    from bench.workload import PARTITIONS, TOPIC

    try:
        ApacheKafka.check_available()
    except KafkaUnavailableError as missing:
        raise LookupError(str(missing)) from missing
    with (
        tempfile.TemporaryDirectory(prefix="bench-kafka-") as folder,
        ApacheKafka(Path(folder)) as broker,
    ):
        create_topics(broker.bootstrap_servers, {TOPIC: PARTITIONS})
        yield broker.bootstrap_servers
