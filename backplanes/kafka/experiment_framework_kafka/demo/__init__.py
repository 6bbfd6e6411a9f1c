"""``experiment demo``: an A/B test through an embedded Kafka, proved by an independent consumer."""

from experiment_framework_kafka.demo.command import command

__all__ = ["command"]
