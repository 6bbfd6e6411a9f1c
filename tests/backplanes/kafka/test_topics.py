from __future__ import annotations

from typing import Any

import pytest
from experiment_framework_kafka import KafkaOptions, TopicsOptions
from experiment_framework_kafka.topics import DEFAULT_TOPICS, TopicNames, is_topic_name


def names(**options: Any) -> TopicNames:
    return TopicNames(KafkaOptions(brokers=["localhost:9092"], **options))


def test_each_event_type_has_a_topic_by_default() -> None:
    assert names().by_type == {
        "Exposure": "experiment-exposures",
        "Assignment": "experiment-assignments",
        "Outcome": "experiment-outcomes",
        "AnalysisSignal": "experiment-analysis-signals",
        "Error": "experiment-errors",
    }


def test_a_unified_topic_takes_all() -> None:
    unified = names(topic="events")
    assert unified.all == ("events",)
    assert unified.by_type["SomethingNew"] == "events"


def test_a_prefix_goes_before_the_default_names() -> None:
    assert names(topic_prefix="prod.").by_type["Outcome"] == "prod.experiment-outcomes"


def test_an_own_topic_takes_the_place_of_the_default_one_as_it_is_written() -> None:
    own = names(topic_prefix="prod.", topics=TopicsOptions(analysis_signal="signals"))
    assert own.by_type["AnalysisSignal"] == "signals"
    assert own.by_type["Exposure"] == "prod.experiment-exposures"


@pytest.mark.parametrize("event_type", sorted(DEFAULT_TOPICS))
def test_a_known_type_is_named_by_the_rule_for_unknown_ones(event_type: str) -> None:
    topics = names()
    assert topics.by_type.__missing__(event_type) == DEFAULT_TOPICS[event_type]


@pytest.mark.parametrize("event_type", ["../etc", "a b", "é" * 400, "X" * 400, ""])
def test_an_unknown_type_always_gets_a_name_that_kafka_allows(event_type: str) -> None:
    assert is_topic_name(names().by_type[event_type])


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "x" * 250, "é", "a\n"])
def test_what_kafka_does_not_allow_is_no_name_of_a_topic(name: str) -> None:
    assert not is_topic_name(name)


def test_topics_of_some_types_are_given_once() -> None:
    assert names().of_types({"Outcome", "Exposure"}) == (
        "experiment-exposures",
        "experiment-outcomes",
    )
    assert names(topic="events").of_types({"Outcome", "Exposure"}) == ("events",)
