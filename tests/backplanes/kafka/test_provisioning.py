from __future__ import annotations

from collections.abc import Callable

import pytest
from experiment_framework.envelope import Record
from experiment_framework.plugin import DeliveryError
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, ProvisionOptions

Open = Callable[..., KafkaBackplane]


def test_a_topic_that_is_there_is_left_as_it_is(
    kafka: EmbeddedKafka, opened: Open, record: Callable[..., Record], topic: str
) -> None:
    backplane = opened(
        brokers=[kafka.bootstrap_servers], topic=topic, provision=ProvisionOptions(partitions=9)
    )
    backplane.publish(record())
    backplane.flush(10)
    (answer,) = backplane.provision()
    assert (answer.name, answer.action) == (f"topic {topic}", "exists")
    assert answer.detail == "4 partitions (9 declared: not changed)"


def test_a_cluster_that_creates_no_topics_is_told_for_each(
    kafka: EmbeddedKafka, opened: Open, monkeypatch: pytest.MonkeyPatch, topic: str
) -> None:
    monkeypatch.setattr("experiment_framework_kafka.provisioning.TIMEOUT", 1.0)
    backplane = opened(brokers=[kafka.bootstrap_servers], topic=topic)
    (answer,) = backplane.provision()
    assert (answer.action, answer.detail.partition(":")[0]) == ("failed", "timed_out")


def test_brokers_that_never_answer_end_with_an_error(
    black_hole: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiment_framework_kafka.provisioning.TIMEOUT", 0.5)
    with pytest.raises(DeliveryError, match="no broker answers"):
        list(opened(brokers=[black_hole]).provision())
