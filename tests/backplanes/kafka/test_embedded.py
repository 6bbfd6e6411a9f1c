from __future__ import annotations

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from experiment_framework_kafka import EmbeddedKafka
from experiment_framework_kafka.logs import ClientLog


def brokers_at(bootstrap_servers: str, timeout: float) -> int:
    client = AdminClient({"bootstrap.servers": bootstrap_servers}, logger=ClientLog())
    try:
        return len(client.list_topics(timeout=timeout).brokers)
    except KafkaException:
        return 0


def test_it_has_the_brokers_that_were_asked_for_while_it_lives() -> None:
    with EmbeddedKafka(brokers=2) as kafka:
        assert kafka.bootstrap_servers.count("127.0.0.1:") == 2
        assert brokers_at(kafka.bootstrap_servers, 5) == 2
    assert brokers_at(kafka.bootstrap_servers, 0.5) == 0


def test_two_of_them_are_two_clusters() -> None:
    with EmbeddedKafka(1) as one, EmbeddedKafka(1) as other:
        assert one.bootstrap_servers != other.bootstrap_servers
