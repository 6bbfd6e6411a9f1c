"""What a backplane is given: an envelope as bytes, with what it is routed by."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from experiment_framework.errors import DecodeError

__all__ = ["Record", "in_utc"]


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An envelope as bytes, with the few fields a backplane routes by.

    Attributes:
        event_id: The id that removes repeats downstream.
        event_type: The wire name of the event's type.
        schema_version: Version of the wire format.
        timestamp: When the event happened, in UTC.
        experiment_name: The experiment, where the event has one.
        variant_key: The variant (the new one, for an assignment), where the event has one.
        subject_id: The subject, where the event has one.
        tenant_id: The tenant, where the event has one.
        correlation_id: What ties the events of one request together.
        body: The envelope, UTF-8 JSON without a line break.
    """

    event_id: str
    event_type: str
    schema_version: str
    timestamp: datetime
    experiment_name: str | None
    variant_key: str | None
    subject_id: str | None
    tenant_id: str | None
    correlation_id: str | None
    body: bytes

    def headers(self) -> list[tuple[str, str]]:
        """Give the headers that travel beside the body; their bytes are UTF-8."""
        correlation_id = self.correlation_id
        if correlation_id is None:
            return [
                ("event-id", self.event_id),
                ("event-type", self.event_type),
                ("schema-version", self.schema_version),
            ]
        return [
            ("event-id", self.event_id),
            ("event-type", self.event_type),
            ("schema-version", self.schema_version),
            ("correlation-id", correlation_id),
        ]

    @classmethod
    def from_body(cls, body: bytes) -> Record:
        """Rebuild a record from its own bytes alone: the same that `encode` made.

        The payload may be of any type, also one of a newer minor version: what it has under the
        names that records are routed by is taken where it is a string.

        Raises:
            DecodeError: The bytes are no envelope.
        """
        try:
            envelope = _decoded(body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise DecodeError(f"not an envelope: {error}") from error
        payload = envelope.payload
        variant = (
            payload.variant_key if payload.new_variant_key is None else payload.new_variant_key
        )
        return cls(
            event_id=envelope.event_id,
            event_type=envelope.event_type,
            schema_version=envelope.schema_version,
            timestamp=_happened(payload.timestamp) or in_utc(envelope.timestamp),
            experiment_name=payload.experiment_name,
            variant_key=variant,
            subject_id=payload.subject_id,
            tenant_id=payload.tenant_id,
            correlation_id=envelope.correlation_id,
            body=body,
        )


P = TypeVar("P")


class _AnyPayload(msgspec.Struct, rename="camel"):
    timestamp: Any = None
    experiment_name: Any = None
    variant_key: Any = None
    new_variant_key: Any = None
    subject_id: Any = None
    tenant_id: Any = None


class _RoutedPayload(msgspec.Struct, rename="camel"):
    timestamp: datetime | None = None
    experiment_name: str | None = None
    variant_key: str | None = None
    new_variant_key: str | None = None
    subject_id: str | None = None
    tenant_id: str | None = None


class _RoutedEnvelope(msgspec.Struct, Generic[P], rename="camel"):
    event_id: str
    event_type: str
    schema_version: str
    timestamp: datetime
    payload: P
    correlation_id: str | None = None


_decode = msgspec.json.Decoder(_RoutedEnvelope[_RoutedPayload]).decode
_decode_any = msgspec.json.Decoder(_RoutedEnvelope[_AnyPayload]).decode


def _decoded(body: bytes) -> _RoutedEnvelope[_RoutedPayload]:
    """Read what a record is routed by; what is of another type in its payload, it is not."""
    try:
        return _decode(body)
    except msgspec.ValidationError:
        found = _decode_any(body)
    payload = found.payload
    return _RoutedEnvelope(
        event_id=found.event_id,
        event_type=found.event_type,
        schema_version=found.schema_version,
        timestamp=found.timestamp,
        payload=_RoutedPayload(
            timestamp=_moment(payload.timestamp),
            experiment_name=_text(payload.experiment_name),
            variant_key=_text(payload.variant_key),
            new_variant_key=_text(payload.new_variant_key),
            subject_id=_text(payload.subject_id),
            tenant_id=_text(payload.tenant_id),
        ),
        correlation_id=found.correlation_id,
    )


def in_utc(moment: datetime) -> datetime:
    """Turn a moment that was read to UTC.

    Raises:
        DecodeError: It has no time zone, or it is out of the range of years in UTC.
    """
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        raise DecodeError("not an envelope: timestamp has no time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise DecodeError("not an envelope: timestamp is out of range") from error


def _happened(timestamp: datetime | None) -> datetime | None:
    try:
        return None if timestamp is None else in_utc(timestamp)
    except DecodeError:
        return None


def _moment(value: Any) -> datetime | None:
    try:
        return msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
