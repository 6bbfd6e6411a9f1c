"""What a person may say under ``backplane.options`` where the type is ``kafka``."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from experiment_framework.plugin import option, options
from msgspec import Meta

__all__ = [
    "KafkaOptions",
    "PartitionBy",
    "ProvisionOptions",
    "SecurityOptions",
    "TopicsOptions",
    "written_name",
]

PartitionBy: TypeAlias = Literal["experimentKey", "subjectId", "tenantId", "roundRobin"]
Setting: TypeAlias = str | int | float | bool

_LARGEST = 2**31 - 1


def written_name(field: str) -> str:
    """Give the name that an option has in YAML."""
    first, *rest = field.split("_")
    return first + "".join(part.capitalize() for part in rest)


@options
class TopicsOptions:
    """A topic of its own for an event type; the others keep their default names."""

    exposure: str | None = option(default=None, help="Topic of Exposure events.")
    assignment: str | None = option(default=None, help="Topic of Assignment events.")
    outcome: str | None = option(default=None, help="Topic of Outcome events.")
    analysis_signal: str | None = option(default=None, help="Topic of AnalysisSignal events.")
    error: str | None = option(default=None, help="Topic of Error events.")


@options
class SecurityOptions:
    """How the brokers are spoken to: encryption and log-in."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = option(
        default="PLAINTEXT",
        help="`SSL` encrypts, `SASL_PLAINTEXT` logs in, `SASL_SSL` does both.",
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = option(
        default=None, help="How to log in; required where the protocol is one of the SASL ones."
    )
    username: str | None = option(default=None, help="User name, for PLAIN and SCRAM.")
    password: str | None = option(
        default=None, secret=True, help="Password, for PLAIN and SCRAM; or use `passwordFile`."
    )
    password_file: str | None = option(
        default=None,
        help="File that holds the password; white space at its end is left out.",
    )
    ca_file: str | None = option(
        default=None,
        help="PEM file of the certificate authorities to trust; the system's by default.",
    )
    cert_file: str | None = option(
        default=None, help="PEM file of the client's certificate, where brokers ask for one."
    )
    key_file: str | None = option(
        default=None, help="PEM file of the private key that belongs to `certFile`."
    )
    key_password: str | None = option(
        default=None, secret=True, help="Password of the private key; or use `keyPasswordFile`."
    )
    key_password_file: str | None = option(
        default=None, help="File that holds the password of the private key."
    )
    verify_hostname: bool = option(
        default=True, help="Check that a broker's certificate names its host."
    )
    token_endpoint_url: str | None = option(
        default=None,
        help="Where OAUTHBEARER gets its tokens by client credentials (an OpenID Connect token "
        "endpoint).",
    )
    client_id: str | None = option(
        default=None, help="Client id at the token endpoint, for OAUTHBEARER."
    )
    client_secret: str | None = option(
        default=None,
        secret=True,
        help="Client secret at the token endpoint; or use `clientSecretFile`.",
    )
    client_secret_file: str | None = option(default=None, help="File that holds the client secret.")
    scope: str | None = option(
        default=None, help="Scope to ask the token endpoint for, for OAUTHBEARER."
    )


@options
class ProvisionOptions:
    """What `experiment provision` gives to topics that it creates."""

    partitions: Annotated[int, Meta(ge=1, le=100_000)] = option(
        default=6, help="Number of partitions of a new topic."
    )
    replication_factor: Annotated[int, Meta(ge=1, le=32_767)] | None = option(
        default=None, help="Copies of each partition of a new topic; the broker's default if unset."
    )
    retention_ms: Annotated[int, Meta(ge=-1)] | None = option(
        default=None,
        help="How long in ms a new topic keeps records, -1 for ever; the broker's if unset.",
    )


@options
class KafkaOptions:
    """Options of the Kafka backplane."""

    brokers: Annotated[
        list[str], Meta(min_length=1, examples=[["${KAFKA_BROKERS:-localhost:9092}"]])
    ] = option(separator=",", help="Brokers to start from, each `host:port`.")
    topic: str | None = option(
        default=None,
        help="One topic for all event types; otherwise each type has its own.",
    )
    topics: TopicsOptions | None = option(
        default=None, help="A topic of its own per event type, in place of its default name."
    )
    topic_prefix: str | None = option(default=None, help="Put before the five default topic names.")
    dead_letter_topic: str | None = option(
        default=None,
        help="Topic that takes records that can never be delivered, with the reason in a header; "
        "none by default.",
    )
    partition_by: PartitionBy = option(
        default="experimentKey",
        help="What records are ordered by: those with the same value share a partition; "
        "`roundRobin` takes the partitions in turn.",
    )
    key_fallback: Literal["experiment", "eventId"] = option(
        default="experiment",
        help="The key of an event that lacks what `partitionBy` names: its experiment (or else its "
        "event id), or its event id.",
    )
    partitioner: Literal[
        "murmur2_random",
        "murmur2",
        "consistent_random",
        "consistent",
        "fnv1a_random",
        "fnv1a",
        "random",
    ] = option(
        default="murmur2_random",
        help="How a key becomes a partition: `murmur2_random` as Java and Kafka Streams do, "
        "`consistent_random` as librdkafka does by itself.",
    )
    batch_size: Annotated[int, Meta(ge=1, le=1_000_000)] = option(
        default=500, help="Most messages in one batch."
    )
    batch_bytes: Annotated[int, Meta(ge=1, le=_LARGEST)] = option(
        default=1_000_000, help="Most bytes in one batch."
    )
    linger_ms: Annotated[int, Meta(ge=0, le=900_000)] = option(
        default=100, help="Longest time in ms that a message waits for its batch to fill."
    )
    max_message_bytes: Annotated[int, Meta(ge=1000, le=1_000_000_000)] = option(
        default=1_000_000,
        help="Largest message in bytes; larger ones are refused before they are queued. Not more "
        "than the topic's own `max.message.bytes`.",
    )
    compression_type: Literal["none", "gzip", "snappy", "lz4", "zstd"] = option(
        default="snappy", help="How batches are compressed."
    )
    acks: Literal["all", "1", "0", "-1"] = option(
        default="all",
        help="How many copies a broker waits for: `all` in-sync ones (also written -1), the "
        "leader's (1), none (0).",
    )
    enable_idempotence: bool = option(
        default=True, help="Let brokers remove the repeats of retries, and keep order."
    )
    max_in_flight: Annotated[int, Meta(ge=1, le=1_000_000)] = option(
        default=5,
        help="Most requests on the way to one broker; at most 5 with `enableIdempotence`.",
    )
    delivery_timeout_ms: Annotated[int, Meta(ge=1, le=_LARGEST)] = option(
        default=120_000,
        help="Longest time in ms from `publish` until a record is delivered or failed.",
    )
    request_timeout_ms: Annotated[int, Meta(ge=1, le=900_000)] = option(
        default=30_000, help="Longest time in ms that a broker may take to answer a request."
    )
    delivery_reports: Literal["auto", "all", "failures"] = option(
        default="auto",
        help="Which fates the client reports one by one: `failures` is faster, successes are then "
        "counted; `auto` is `failures` unless something needs each one.",
    )
    client_id: str | None = option(
        default=None, help="Name of this client in the brokers' logs, metrics and quotas."
    )
    security: SecurityOptions = option(factory=SecurityOptions, help="Encryption and log-in.")
    provision: ProvisionOptions = option(
        factory=ProvisionOptions, help="What `experiment provision` gives to new topics."
    )
    additional_config: dict[str, Setting] = option(
        factory=dict,
        help="More librdkafka settings by their own names, such as `socket.keepalive.enable`; "
        "checked against the installed librdkafka.",
    )
