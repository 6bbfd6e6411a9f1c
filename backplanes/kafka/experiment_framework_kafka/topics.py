"""Which topic takes a record."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from experiment_framework_kafka.options import KafkaOptions

__all__ = ["DEFAULT_TOPICS", "OPTION_OF_TYPE", "TopicNames", "is_topic_name"]

DEFAULT_TOPICS: Final = {
    "Exposure": "experiment-exposures",
    "Assignment": "experiment-assignments",
    "Outcome": "experiment-outcomes",
    "AnalysisSignal": "experiment-analysis-signals",
    "Error": "experiment-errors",
}

OPTION_OF_TYPE: Final = {
    "Exposure": "exposure",
    "Assignment": "assignment",
    "Outcome": "outcome",
    "AnalysisSignal": "analysis_signal",
    "Error": "error",
}
"""Which field of the ``topics`` block holds the topic of an event type."""

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
        self.by_type = {
            event_type: options.topic
            or getattr(own, OPTION_OF_TYPE[event_type], None)
            or self._prefix + default
            for event_type, default in DEFAULT_TOPICS.items()
        }

    @property
    def all(self) -> tuple[str, ...]:
        """Every topic that the five event types go to, each once."""
        return tuple(dict.fromkeys(self.by_type.values()))

    def of_types(self, event_types: Collection[str] | None) -> tuple[str, ...]:
        """Give the topics of some event types, each once; of all five for None."""
        if event_types is None:
            return self.all
        return tuple(dict.fromkeys(self.of_type(each) for each in sorted(event_types)))

    def of_type(self, event_type: str) -> str:
        """Give the topic of one event type, known or not."""
        return self.by_type.get(event_type) or self.of_unknown_type(event_type)

    def of_unknown_type(self, event_type: str) -> str:
        """Give the topic of an event type of a newer version, named as the known ones are."""
        if self._unified is not None:
            return self._unified
        kebab = _FOREIGN.sub("-", _HUMP.sub("-", event_type).lower())
        return f"{self._prefix}experiment-{kebab}s"[:249]
