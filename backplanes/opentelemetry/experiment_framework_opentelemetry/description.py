"""What spans and log records say about an event: attributes, times, severity."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec
from experiment_framework.plugin import Record

from experiment_framework_opentelemetry.trace_context import TRACEPARENT, Parent, parse_traceparent

__all__ = ["AttributeValue", "Description", "Naming", "describe"]

AttributeValue: TypeAlias = str | int | float | bool

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LARGEST: Final = 2**63
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_NAMES: Final = {
    "experimentName": "experiment.name",
    "variantKey": "experiment.variant",
    "newVariantKey": "experiment.variant",
    "subjectId": "experiment.subject.id",
    "subjectType": "experiment.subject.type",
    "tenantId": "experiment.tenant.id",
}
"""Attributes whose names do not follow from those of the fields."""


class Naming(msgspec.Struct, frozen=True):
    """What the attributes of a feature flag's evaluation say that an event does not know.

    Attributes:
        provider_name: ``feature_flag.provider.name``.
        flag_set_id: ``feature_flag.set.id``.
    """

    provider_name: str
    flag_set_id: str | None = None


class _Envelope(msgspec.Struct, rename="camel"):
    timestamp: datetime
    payload: dict[str, Any]
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


_decode: Final = msgspec.json.Decoder(_Envelope).decode


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """An event in the terms of OpenTelemetry.

    Attributes:
        event_id: The event's id.
        event_type: The wire name of its type, which is what its span is called.
        happened: When it happened, in ns since 1970; earlier times are 1970, those that OTLP has no
            number for its last moment, in 2262.
        published: When it was published, likewise.
        attributes: What is known of it.
        parent: The span that was active when it was published.
        failure: What went wrong, for an event that tells of an error.
        severity: ``Info``, ``Warning`` or ``Error``.
        reason: Why the variant was selected, for an exposure that says so.
    """

    event_id: str
    event_type: str
    happened: int
    published: int
    attributes: dict[str, AttributeValue]
    parent: Parent | None
    failure: str | None
    severity: str
    reason: str

    @property
    def log_name(self) -> str:
        """The name of the event in a log record."""
        if self.event_type == "Exposure":
            return "feature_flag.evaluation"
        return f"experiment.{_snake(self.event_type)}"

    def log_attributes(self, naming: Naming) -> dict[str, AttributeValue]:
        """Give the attributes of a log record; those of a flag's evaluation for an exposure."""
        if self.event_type != "Exposure":
            return self.attributes
        known = self.attributes
        flag: dict[str, AttributeValue | None] = {
            "feature_flag.key": known.get("experiment.name"),
            "feature_flag.result.variant": known.get("experiment.variant"),
            "feature_flag.result.reason": self.reason,
            "feature_flag.context.id": known.get("experiment.subject.id"),
            "feature_flag.provider.name": naming.provider_name,
            "feature_flag.set.id": naming.flag_set_id,
        }
        return {name: value for name, value in flag.items() if value is not None} | known


def describe(record: Record) -> Description:
    """Describe an event by its record."""
    envelope = _decode(record.body)
    payload, metadata = envelope.payload, envelope.metadata
    attributes: dict[str, AttributeValue] = {
        "dataplane.event.id": record.event_id,
        "dataplane.event.type": record.event_type,
        "dataplane.schema.version": record.schema_version,
    }
    if record.correlation_id is not None:
        attributes["dataplane.correlation.id"] = record.correlation_id
    for field, value in payload.items():
        if value is not None and field != "timestamp":
            name = _NAMES.get(field) or f"experiment.{_snake(field)}"
            attributes[name] = _plain(value)
    for key, value in metadata.items():
        if value is not None and key != TRACEPARENT:
            attributes[f"dataplane.metadata.{key}"] = _plain(value)
    is_error = record.event_type == "Error"
    return Description(
        event_id=record.event_id,
        event_type=record.event_type,
        happened=_nanoseconds(record.timestamp),
        published=_nanoseconds(envelope.timestamp),
        attributes=attributes,
        parent=parse_traceparent(metadata.get(TRACEPARENT)),
        failure=str(payload.get("message", "")) if is_error else None,
        severity="Error" if is_error else str(payload.get("severity", "Info")),
        reason=_reason(payload.get("selectionReason")),
    )


@lru_cache(maxsize=1024)
def _snake(name: str) -> str:
    return _HUMP.sub("_", name).lower()


def _plain(value: Any) -> AttributeValue:
    """Give a value that any attribute may have; what is nested as JSON."""
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return str(value)
    if isinstance(value, str | bool | int | float):
        return value
    return msgspec.json.encode(value).decode()


def _reason(selection: object) -> str:
    """Give the reason in the convention's words, where it has one for it."""
    return "unknown" if selection in (None, "unspecified") else str(selection)


def _nanoseconds(moment: datetime) -> int:
    return min(max((moment - _EPOCH) // _MICROSECOND, 0) * 1000, _LARGEST - 1)
