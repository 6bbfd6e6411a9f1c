"""What is published in each measurement."""

from __future__ import annotations

from experiment_framework import DataPlane, DataPlaneOptions, Exposure
from experiment_framework.dataplane_options import FailureMode, SpoolOptions
from experiment_framework_kafka import KafkaBackplane, KafkaOptions

TOPIC = "bench-events"
PARTITIONS = 6
CORRELATION_ID = "request-7f3a9c"


def make_event(number: int) -> Exposure:
    """Make an exposure whose envelope takes about 480 bytes."""
    return Exposure(
        experiment_name=f"checkout-button-{number % 20}",
        variant_key="treatment" if number % 2 else "control",
        subject_id=f"user-{number % 10_000:06}",
        subject_type="user",
        tenant_id=f"tenant-{number % 50}",
        selection_reason="rule",
        rule_path="rules.checkout.eu",
        attributes={"country": "AT", "device": "mobile", "cart": number % 7},
    )


def make_plane(
    servers: str, *, failure_mode: FailureMode = "drop", spool: SpoolOptions | None = None
) -> DataPlane:
    """Make the data plane that is measured: all of Kafka's options at their defaults."""
    options = KafkaOptions(brokers=servers.split(","), topic=TOPIC)
    return DataPlane(
        KafkaBackplane(options), DataPlaneOptions(failure_mode=failure_mode, spool=spool)
    )
