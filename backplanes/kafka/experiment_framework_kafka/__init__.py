"""Apache Kafka as a backplane: ``type: kafka``."""

from experiment_framework_kafka.embedded import EmbeddedKafka
from experiment_framework_kafka.oauth import OAuthToken
from experiment_framework_kafka.options import (
    KafkaOptions,
    ProvisionOptions,
    SecurityOptions,
    TopicsOptions,
)
from experiment_framework_kafka.plugin import KafkaBackplane

__all__ = [
    "EmbeddedKafka",
    "KafkaBackplane",
    "KafkaOptions",
    "OAuthToken",
    "ProvisionOptions",
    "SecurityOptions",
    "TopicsOptions",
]
