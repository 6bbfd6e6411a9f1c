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
        by_type: The topic of any event type, by the type's wire name; the five known ones are its
            items. An event type of a newer version gets a topic that is named as theirs are.
        all: Every topic that the five event types go to, each once.
        needed: Every topic that has to be there: those, and the one for dead letters.
    """

    def __init__(self, options: KafkaOptions) -> None:
        own = options.topics
        prefix = options.topic_prefix or ""
        self.by_type = _ByType(
            {
                event_type: options.topic
                or getattr(own, OPTION_OF_TYPE[event_type], None)
                or prefix + default
                for event_type, default in DEFAULT_TOPICS.items()
            },
            prefix=prefix,
            unified=options.topic,
        )
        self.all = tuple(dict.fromkeys(self.by_type.values()))
        dead_letters = options.dead_letter_topic
        self.needed = self.all if dead_letters is None else (*self.all, dead_letters)

    def of_types(self, event_types: Collection[str] | None) -> tuple[str, ...]:
        """Give the topics of some event types, each once; of all five for None."""
        if event_types is None:
            return self.all
        return tuple(dict.fromkeys(self.by_type[each] for each in sorted(event_types)))


class _ByType(dict[str, str]):
    """Looked up for each record: a known type costs one look."""

    def __init__(self, known: dict[str, str], *, prefix: str, unified: str | None) -> None:
        super().__init__(known)
        self._prefix = prefix
        self._unified = unified

    def __missing__(self, event_type: str) -> str:
        if self._unified is not None:
            return self._unified
        kebab = _FOREIGN.sub("-", _HUMP.sub("-", event_type).lower())
        return f"{self._prefix}experiment-{kebab}s"[:249]
