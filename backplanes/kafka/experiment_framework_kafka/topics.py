"""Which topic takes a record."""

from __future__ import annotations

import re
from typing import Final

from experiment_framework_kafka.options import KafkaOptions

__all__ = ["DEFAULT_TOPICS", "TopicNames", "is_topic_name"]

DEFAULT_TOPICS: Final = {
    "Exposure": "experiment-exposures",
    "Assignment": "experiment-assignments",
    "Outcome": "experiment-outcomes",
    "AnalysisSignal": "experiment-analysis-signals",
    "Error": "experiment-errors",
}

_NAME: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_FOREIGN: Final = re.compile(r"[^a-z0-9._-]")


def is_topic_name(name: str) -> bool:
    """Whether Kafka allows a topic of this name."""
    return _NAME.fullmatch(name) is not None


class TopicNames:
    """The topic of each event type, by the options.

    Attributes:
        by_type: The topics of the five event types, by the type's wire name.
    """

    def __init__(self, options: KafkaOptions) -> None:
        self._unified = options.topic
        self._prefix = options.topic_prefix or ""
        own = options.topics
        chosen = (
            {}
            if own is None
            else {
                "Exposure": own.exposure,
                "Assignment": own.assignment,
                "Outcome": own.outcome,
                "AnalysisSignal": own.analysis_signal,
                "Error": own.error,
            }
        )
        self.by_type = {
            event_type: options.topic or chosen.get(event_type) or self._prefix + default
            for event_type, default in DEFAULT_TOPICS.items()
        }

    @property
    def all(self) -> tuple[str, ...]:
        """Every topic that the five event types go to, each once."""
        return tuple(dict.fromkeys(self.by_type.values()))

    def of_unknown_type(self, event_type: str) -> str:
        """Give the topic of an event type of a newer version, named as the known ones are."""
        if self._unified is not None:
            return self._unified
        kebab = _FOREIGN.sub("-", _HUMP.sub("-", event_type).lower())
        return f"{self._prefix}experiment-{kebab}s"[:249]
