from __future__ import annotations

from typing import Any

import pytest
from experiment_framework import ConfigError, DataPlane
from experiment_framework.plugin import Problem
from experiment_framework_kafka import KafkaBackplane, KafkaOptions, TopicsOptions


def problems(**options: Any) -> list[Problem]:
    chosen = KafkaOptions(**({"brokers": ["localhost:9092"]} | options))
    return list(KafkaBackplane(chosen).check(chosen))


def test_defaults_are_those_of_the_documentation() -> None:
    options = KafkaOptions(brokers=["localhost:9092"])
    assert (options.topic, options.topics, options.topic_prefix) == (None, None, None)
    assert (options.partition_by, options.key_fallback) == ("experimentKey", "experiment")
    assert (options.batch_size, options.linger_ms) == (500, 100)
    assert (options.enable_idempotence, options.acks) == (True, "all")
    assert (options.compression_type, options.partitioner) == ("snappy", "murmur2_random")
    assert (options.delivery_timeout_ms, options.request_timeout_ms) == (120_000, 30_000)
    assert (options.max_in_flight, options.delivery_reports) == (5, "auto")
    assert options.client_id is None
    assert problems() == []


@pytest.mark.parametrize("acks", ["all", "-1", "1", "0"])
@pytest.mark.parametrize("idempotence", [True, False])
def test_idempotence_contradicts_every_acks_but_all(acks: str, *, idempotence: bool) -> None:
    found = problems(acks=acks, enable_idempotence=idempotence)
    if not idempotence or acks in ("all", "-1"):
        assert found == []
        return
    (problem,) = found
    assert problem.path == ("acks",)
    assert set(problem.involves) == {("acks",), ("enableIdempotence",)}
    assert "enableIdempotence: false" in str(problem.suggestion)
    assert "acks: all" in str(problem.suggestion)


@pytest.mark.parametrize(("in_flight", "is_wrong"), [(1, False), (5, False), (6, True)])
def test_idempotence_allows_five_requests_in_flight(in_flight: int, *, is_wrong: bool) -> None:
    found = problems(max_in_flight=in_flight)
    assert [p.path for p in found] == [("maxInFlight",)] * is_wrong
    assert problems(max_in_flight=in_flight, enable_idempotence=False) == []


def test_every_contradiction_is_found_at_once() -> None:
    found = problems(acks="1", max_in_flight=6, linger_ms=5000, delivery_timeout_ms=1000)
    assert {p.path for p in found} == {("acks",), ("maxInFlight",), ("lingerMs",)}


@pytest.mark.parametrize(
    "broker",
    ["localhost:9092", "kafka-1.example.com:1", "10.0.0.1:65535", "[::1]:9092", "my_host:9092"],
)
def test_an_address_is_host_and_port(broker: str) -> None:
    assert problems(brokers=[broker]) == []


@pytest.mark.parametrize(
    "broker",
    ["localhost", "localhost:", ":9092", "localhost:0", "localhost:65536", "localhost:99999999",
     "::1:9092", "kafka://localhost:9092", "localhost:kafka", "a:b:1", "localhost:٣",
     "a b:1", "a\tb:1"],
)  # fmt: skip
def test_anything_else_is_a_problem_at_its_place_in_the_list(broker: str) -> None:
    (problem,) = problems(brokers=["localhost:9092", broker])
    assert problem.path == ("brokers", 1)
    assert problem.found == broker


@pytest.mark.parametrize("option", ["topics", "topic_prefix"])
def test_a_unified_topic_contradicts_topics_of_their_own(option: str) -> None:
    value: object = TopicsOptions(outcome="o") if option == "topics" else "p-"
    (problem,) = problems(topic="events", **{option: value})
    assert ("topic",) in problem.involves
    assert len(problem.involves) == 2


def test_names_that_kafka_does_not_allow_are_problems_at_their_options() -> None:
    assert [p.path for p in problems(topic="a b")] == [("topic",)]
    assert [p.path for p in problems(topic_prefix="a/")] == [("topicPrefix",)]
    own = TopicsOptions(analysis_signal="é", error="fine")
    assert [p.path for p in problems(topics=own)] == [("topics", "analysisSignal")]


def test_a_data_plane_is_not_made_with_contradicting_options() -> None:
    with pytest.raises(ConfigError, match="enableIdempotence"):
        DataPlane(KafkaBackplane(KafkaOptions(brokers=["localhost:9092"], acks="1")))


def test_dead_letters_have_a_topic_of_their_own() -> None:
    assert problems(dead_letter_topic="experiments-dead-letters") == []
    (bad,) = problems(dead_letter_topic="no name")
    assert (bad.path, bad.found) == (("deadLetterTopic",), "no name")
    for options in (
        {"topic": "dead"},
        {"topics": TopicsOptions(outcome="dead")},
        {"dead_letter_topic": "experiment-errors"},
    ):
        (same,) = problems(**({"dead_letter_topic": "dead"} | options))
        assert (same.path, "takes events too" in same.message) == (("deadLetterTopic",), True)
