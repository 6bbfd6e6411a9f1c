"""The wire form around an event, and its way to bytes and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

import msgspec
from uuid_utils import reseed_rng, uuid7

from experiment_framework._json import Normalizer, Unencodable, format_time, is_plain
from experiment_framework.errors import DecodeError, EventError
from experiment_framework.events import EVENT_TYPES, Event

__all__ = [
    "RESERVED_METADATA",
    "SCHEMA_VERSION",
    "Envelope",
    "Record",
    "check_metadata",
    "decode",
    "encode",
    "new_event_id",
]

SCHEMA_VERSION: Final = "1.0.0"
"""Version of the wire format that this release writes; it reads every ``1.x``."""

RESERVED_METADATA: Final = frozenset({"samplingRate", "nonFinite"})
"""Metadata keys that only the data plane and its pipeline write."""

_NO_METADATA: Final[dict[str, Any]] = {}

if hasattr(os, "register_at_fork"):
    # The generator's state is copied by a fork: without this both processes make the same ids.
    os.register_at_fork(after_in_child=reseed_rng)


def new_event_id() -> str:
    """Make a UUID of version 7 (RFC 9562): unique, and sorted by time."""
    return str(uuid7())


def check_metadata(event_type: str, metadata: dict[str, Any]) -> None:
    """Refuse metadata that an application may not give.

    Raises:
        EventError: It is no dict, or it has a key that only the data plane writes.
    """
    if not isinstance(metadata, dict):
        kind = type(metadata).__name__
        raise EventError(event_type, "metadata", f"expected a dict, got {kind}")
    for key in RESERVED_METADATA.intersection(metadata):
        raise EventError(event_type, f"metadata.{key}", "is reserved for the data plane itself")


class Envelope(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An event with what identifies and accompanies it on the wire.

    Attributes:
        event_id: The id that removes repeats downstream.
        timestamp: When it was published, in UTC (the payload's is when it happened).
        event_type: The wire name of the payload's type, such as ``Exposure``.
        schema_version: Version of the wire format, such as ``1.0.0``.
        payload: The event; a dict where the type is of a newer minor version and unknown here.
        correlation_id: What ties events of one request together.
        metadata: What is said about the event rather than by it.
        extra: Envelope fields of a newer minor version; None where there are none.
    """

    event_id: str
    timestamp: datetime
    event_type: str
    schema_version: str = SCHEMA_VERSION
    payload: Event | dict[str, Any]
    correlation_id: str | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    extra: dict[str, Any] | None = msgspec.field(default=None, name="$extra")

    @classmethod
    def around(
        cls,
        event: Event,
        *,
        event_id: str | None = None,
        correlation_id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Envelope:
        """Put an event into an envelope that is published now."""
        return cls(
            event_id=event_id or new_event_id(),
            timestamp=datetime.now(UTC),
            event_type=event.event_type,
            payload=event,
            correlation_id=correlation_id,
            metadata=_NO_METADATA if metadata is None else metadata,
        )


class _Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the encoder writes: the fields of an envelope in their order, without ``extra``."""

    event_id: str
    timestamp: datetime | str
    event_type: str
    schema_version: str
    payload: Any
    correlation_id: str | None
    metadata: dict[str, Any]


class Record(msgspec.Struct, frozen=True, kw_only=True):
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
        correlation_id: What ties events of one request together.
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
        headers = [
            ("event-id", self.event_id),
            ("event-type", self.event_type),
            ("schema-version", self.schema_version),
        ]
        if self.correlation_id is not None:
            headers.append(("correlation-id", self.correlation_id))
        return headers

    @classmethod
    def from_body(cls, body: bytes) -> Record:
        """Rebuild a record from its own bytes alone, as `encode` made it.

        Raises:
            DecodeError: The bytes are no envelope.
        """
        try:
            wire = _routing_decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DecodeError(f"not an envelope: {error}") from error
        route = wire.payload
        return cls(
            event_id=wire.event_id,
            event_type=wire.event_type,
            schema_version=wire.schema_version,
            timestamp=(route.timestamp or wire.timestamp).astimezone(UTC),
            experiment_name=route.experiment_name,
            variant_key=route.variant_key or route.new_variant_key,
            subject_id=route.subject_id,
            tenant_id=route.tenant_id,
            correlation_id=wire.correlation_id,
            body=body,
        )


class _Route(msgspec.Struct, rename="camel"):
    timestamp: datetime | None = None
    experiment_name: str | None = None
    variant_key: str | None = None
    new_variant_key: str | None = None
    subject_id: str | None = None
    tenant_id: str | None = None


class _RoutedEnvelope(msgspec.Struct, rename="camel"):
    event_id: str
    event_type: str
    schema_version: str
    timestamp: datetime
    payload: _Route
    correlation_id: str | None = None


class _Head(msgspec.Struct, rename="camel"):
    event_id: str
    timestamp: datetime
    event_type: str
    correlation_id: str | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


_encode_json = msgspec.json.Encoder().encode
_routing_decoder = msgspec.json.Decoder(_RoutedEnvelope)
_dict_decoder = msgspec.json.Decoder(dict[str, Any])


def _route_getter(cls: type[Event]) -> attrgetter[tuple[str | None, ...]]:
    """Fetch the four routing fields of an event class, None for those it does not have."""
    variant = "new_variant_key" if "new_variant_key" in cls.__struct_fields__ else "variant_key"
    names = ("experiment_name", variant, "subject_id", "tenant_id")
    return attrgetter(
        *(name if name in cls.__struct_fields__ else "_absent" for name in names),
    )


_ROUTES = {cls: _route_getter(cls) for cls in EVENT_TYPES.values()}


def encode(envelope: Envelope) -> Record:
    """Turn an envelope into bytes, once, in the thread that publishes.

    Raises:
        EventError: A value has no JSON form; ``field`` says where.
    """
    event = envelope.payload
    if isinstance(event, dict):
        return Record.from_body(_encode_slowly(envelope))
    experiment, variant, subject, tenant = _ROUTES[type(event)](event)
    return Record(
        event_id=envelope.event_id,
        event_type=envelope.event_type,
        schema_version=envelope.schema_version,
        timestamp=event.timestamp,
        experiment_name=experiment,
        variant_key=variant,
        subject_id=subject,
        tenant_id=tenant,
        correlation_id=envelope.correlation_id,
        body=_encode_fast(envelope, event) or _encode_slowly(envelope),
    )


def _encode_fast(envelope: Envelope, event: Event) -> bytes | None:
    """Encode what msgspec writes as we want it; None for the rest.

    msgspec drops the fraction of a whole second, turns NaN into null without a trace, and knows
    nothing of ``extra``.
    """
    nested = getattr(event, _NESTED[type(event)])
    if (
        (nested is None or is_plain(nested))
        and (not envelope.metadata or is_plain(envelope.metadata))
        and event.timestamp.microsecond
        and envelope.timestamp.microsecond
        and event.extra is None
        and envelope.extra is None
    ):
        try:
            return _encode_json(
                _Wire(
                    event_id=envelope.event_id,
                    timestamp=envelope.timestamp,
                    event_type=envelope.event_type,
                    schema_version=envelope.schema_version,
                    payload=event,
                    correlation_id=envelope.correlation_id,
                    metadata=envelope.metadata,
                )
            )
        except (UnicodeEncodeError, OverflowError):
            return None
    return None


_NESTED = {
    cls: "data" if "data" in cls.__struct_fields__ else "attributes" for cls in EVENT_TYPES.values()
}


def _encode_slowly(envelope: Envelope) -> bytes:
    normalize = Normalizer()
    try:
        payload = normalize(_payload(envelope.payload), "payload")
        metadata = normalize(envelope.metadata, "metadata")
        extra = normalize(envelope.extra or {}, "")
        for name in ("event_id", "correlation_id", "schema_version", "event_type"):
            normalize(getattr(envelope, name), name)
    except Unencodable as error:
        field = error.path.removeprefix("payload.")
        raise EventError(envelope.event_type, field, str(error)) from error
    if normalize.non_finite:
        metadata["nonFinite"] = normalize.non_finite
    wire = {
        "eventId": envelope.event_id,
        "timestamp": format_time(envelope.timestamp),
        "eventType": envelope.event_type,
        "schemaVersion": envelope.schema_version,
        "payload": payload,
        "correlationId": envelope.correlation_id,
        "metadata": metadata,
    }
    return _encode_json(wire | {key: extra[key] for key in extra.keys() - wire.keys()})


def _payload(event: Event | dict[str, Any]) -> dict[str, Any]:
    if isinstance(event, dict):
        return event
    names = zip(event.__struct_fields__, event.__struct_encode_fields__, strict=True)
    fields = {
        wire: value
        for name, wire in names
        if name != "extra" and (value := getattr(event, name)) is not None
    }
    return fields | {
        key: value for key, value in (event.extra or {}).items() if key not in fields
    }


_ENVELOPE_FIELDS = frozenset(Envelope.__struct_encode_fields__) - {"$extra"}
_MAJOR = SCHEMA_VERSION.partition(".")[0]


def decode(data: bytes | str, *, fill_missing: bool = False) -> Envelope:
    """Read an envelope of any minor schema version of this major one.

    Fields that this release does not know are kept, in ``extra`` of the envelope and of the event;
    an event of an unknown type is kept as a dict.

    Args:
        data: One JSON document.
        fill_missing: Ask for ``eventType`` and ``payload`` only, and make what else is missing.

    Raises:
        DecodeError: It is no JSON, no envelope, or one of another major version.
    """
    try:
        fields = _dict_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"not a JSON object: {error}") from error
    if fill_missing:
        fields = {
            "eventId": new_event_id(),
            "timestamp": format_time(datetime.now(UTC)),
            "schemaVersion": SCHEMA_VERSION,
        } | {key: value for key, value in fields.items() if value is not None}
    version = fields.get("schemaVersion")
    if not isinstance(version, str) or version.partition(".")[0] != _MAJOR:
        raise DecodeError(
            f"schemaVersion is {version!r}, this release reads {_MAJOR}.x (field schemaVersion)"
        )
    payload = _decode_payload(fields.get("eventType"), fields.get("payload"))
    try:
        head = msgspec.convert(fields, _Head)
    except msgspec.ValidationError as error:
        raise DecodeError(f"not an envelope: {error}") from error
    if head.timestamp.tzinfo is None:
        raise DecodeError("not an envelope: timestamp has no time zone")
    extra = {key: value for key, value in fields.items() if key not in _ENVELOPE_FIELDS}
    return Envelope(
        event_id=head.event_id,
        timestamp=head.timestamp.astimezone(UTC),
        event_type=head.event_type,
        schema_version=version,
        payload=payload,
        correlation_id=head.correlation_id,
        metadata=head.metadata,
        extra=extra or None,
    )


def _decode_payload(event_type: Any, payload: Any) -> Event | dict[str, Any]:
    if not isinstance(event_type, str):
        raise DecodeError(f"not an envelope: eventType is {event_type!r}, expected a string")
    if not isinstance(payload, Mapping):
        raise DecodeError(f"not an envelope: payload is {payload!r:.60}, expected an object")
    cls = EVENT_TYPES.get(event_type)
    if cls is None:
        return dict(payload)
    known_names = set(cls.__struct_encode_fields__) - {"$extra"}
    known = {key: value for key, value in payload.items() if key in known_names}
    extra = {key: value for key, value in payload.items() if key not in known_names}
    try:
        event = msgspec.convert(known, cls)
    except (msgspec.ValidationError, EventError) as error:
        raise DecodeError(f"not a valid {event_type}: {error}") from error
    return msgspec.structs.replace(event, extra=extra) if extra else event
