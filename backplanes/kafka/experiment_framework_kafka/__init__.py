"""Apache Kafka as a backplane: ``type: kafka``."""

from typing import TYPE_CHECKING

from experiment_framework_kafka.oauth import OAuthToken
from experiment_framework_kafka.options import (
    KafkaOptions,
    ProvisionOptions,
    SecurityOptions,
    TopicsOptions,
)
from experiment_framework_kafka.plugin import KafkaBackplane

if TYPE_CHECKING:
    from experiment_framework_kafka.embedded import EmbeddedKafka

__all__ = [
    "EmbeddedKafka",
    "KafkaBackplane",
    "KafkaOptions",
    "OAuthToken",
    "ProvisionOptions",
    "SecurityOptions",
    "TopicsOptions",
]


def __getattr__(name: str) -> object:
    """Load the client's library only where it is used: options are checked without it."""
    if name == "EmbeddedKafka":
        from experiment_framework_kafka.embedded import EmbeddedKafka

        return EmbeddedKafka
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
