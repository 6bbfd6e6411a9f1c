"""What a person may say under ``backplane.options`` where the type is ``opentelemetry``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from experiment_framework.plugin import option, options
from msgspec import Meta

__all__ = ["OpenTelemetryOptions", "OtlpOptions", "Signal"]

Signal: TypeAlias = Literal["spans", "logs"]


@options
class OtlpOptions:
    """A receiver that is sent to directly, past the application's SDK."""

    endpoint: Annotated[
        str, Meta(pattern=r"^https?://[^/?#]", examples=["http://localhost:4318"])
    ] = option(
        help="Where the receiver listens, with `https://` to encrypt; `/v1/traces` and `/v1/logs` "
        "are added to it for `http/protobuf`."
    )
    protocol: Literal["http/protobuf", "grpc"] = option(
        default="http/protobuf",
        help="How it is spoken to; `grpc` needs `experiment-framework-opentelemetry[grpc]`.",
    )
    headers: dict[str, str] = option(
        factory=dict, secret=True, help="Headers of each request, such as an API key."
    )
    timeout_ms: Annotated[int, Meta(ge=1, le=600_000)] = option(
        default=10_000, help="Longest time in ms that the receiver may take to answer a request."
    )
    compression: Literal["none", "gzip"] = option(
        default="none", help="How requests are compressed."
    )
    service_name: str = option(
        default="unknown_service", help="The resource attribute `service.name`."
    )
    resource: dict[str, str] = option(factory=dict, help="More resource attributes.")
    ca_file: Path | None = option(
        default=None,
        help="PEM file of the certificate authorities to trust; the system's by default.",
    )
    cert_file: Path | None = option(
        default=None, help="PEM file of the client's certificate, where the receiver asks for one."
    )
    key_file: Path | None = option(
        default=None, help="PEM file of the private key that belongs to `certFile`."
    )


@options
class OpenTelemetryOptions:
    """Options of the OpenTelemetry backplane."""

    signals: Annotated[list[Signal], Meta(min_length=1)] = option(
        factory=lambda: ["spans"],
        separator=",",
        help="What an event becomes: `spans`, one span each; `logs`, one log record each, an "
        "exposure as the event `feature_flag.evaluation`; or both.",
    )
    trace_context: bool = option(
        default=True,
        help="Make the span that is active at `publish` the parent; it is noted in the event's "
        "metadata as `traceparent`.",
    )
    provider_name: str = option(
        default="experiment-framework", help="The attribute `feature_flag.provider.name` of logs."
    )
    flag_set_id: str | None = option(
        default=None, help="The attribute `feature_flag.set.id` of logs."
    )
    otlp: OtlpOptions | None = option(
        default=None,
        help="Send to an OTLP receiver directly; without it events are handed to the SDK that the "
        "application has configured.",
    )
