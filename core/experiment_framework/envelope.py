"""The wire form around an event, and its way to bytes and back."""

from __future__ import annotations

import os
import re
from copy import copy
from datetime import UTC, datetime
from operator import attrgetter
from types import NoneType
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import force_setattr, replace
from uuid_utils import UUID as FAST_UUID
from uuid_utils import reseed_rng, uuid7

from experiment_framework._json import Normalizer, Unencodable, format_time, is_plain
from experiment_framework._record import Record, in_utc
from experiment_framework.errors import DecodeError, EventError
from experiment_framework.events import EVENT_TYPES, Event

__all__ = [
    "RESERVED_METADATA",
    "SCHEMA_VERSION",
    "Envelope",
    "Record",
    "check_id",
    "check_metadata",
    "decode",
    "encode",
    "new_event_id",
]

SCHEMA_VERSION: Final = "1.0.0"
"""Version of the wire format that this release writes; it reads every ``1.x``."""

RESERVED_METADATA: Final = frozenset({"samplingRate", "nonFinite"})
"""Metadata keys that only the data plane and its pipeline write."""

if hasattr(os, "register_at_fork"):
    # The generator's state is copied by a fork: without this both processes make the same ids.
    os.register_at_fork(after_in_child=reseed_rng)


def new_event_id() -> str:
    """Make a UUID of version 7 (RFC 9562): unique, and sorted by time."""
    return str(uuid7())


def check_id(event_type: str, field: str, value: object) -> str:
    """Give an id that an application chose as the string that it is on the wire.

    Args:
        event_type: The wire name of the event's type, for the error.
        field: What the id is called, for the error: ``event_id`` or ``correlation_id``.
        value: A string that is not empty, or a UUID.

    Raises:
        EventError: It is neither.
    """
    if isinstance(value, str):
        if value:
            return str.__str__(value)
        raise EventError(event_type, field, "expected an id, got an empty string")
    if isinstance(value, UUID | FAST_UUID):
        return str(value)
    kind = type(value).__name__
    raise EventError(event_type, field, f"expected a string or a UUID, got {kind} {value!r:.60}")


def check_metadata(event_type: str, metadata: object) -> None:
    """Refuse metadata that an application may not give; its values are checked by `encode`.

    Args:
        event_type: The wire name of the event's type, for the error.
        metadata: What was given beside the event.

    Raises:
        EventError: It is no dict, a key is no string, or a key is one that only the data plane
            writes (`RESERVED_METADATA`).
    """
    if not isinstance(metadata, dict):
        kind = type(metadata).__name__
        raise EventError(event_type, "metadata", f"expected a dict, got {kind}")
    for key in metadata:
        if not isinstance(key, str):
            raise EventError(event_type, "metadata", f"expected strings as keys, got {key!r:.60}")
        if key in RESERVED_METADATA:
            raise EventError(event_type, f"metadata.{key}", "is reserved for the data plane itself")


class Envelope(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An event with what identifies and accompanies it on the wire.

    Attributes:
        event_id: The id that removes repeats downstream.
        timestamp: When it was published, in UTC (the payload's is when it happened).
        event_type: The wire name of the payload's type, such as ``Exposure``.
        schema_version: Version of the wire format, such as ``1.0.0``.
        payload: The event. A dict where the type is of a newer minor version and unknown here.
        correlation_id: What ties the events of one request together.
        metadata: What is said about the event rather than by it.
        extra: Envelope fields of a newer minor version; None where there are none.
    """

    event_id: str
    timestamp: datetime
    event_type: str
    # A default that is made by a factory is written; msgspec leaves a plain one out.
    schema_version: str = msgspec.field(default_factory=SCHEMA_VERSION.__str__)
    payload: Event | dict[str, Any]
    correlation_id: str | None = msgspec.field(default_factory=lambda: None)
    metadata: dict[str, Any] = msgspec.field(default_factory=lambda: {})  # noqa: PIE807  # as above
    extra: dict[str, Any] | None = msgspec.field(default=None, name="$extra")

    @staticmethod
    def around(
        event: Event,
        *,
        event_id: str | UUID | None = None,
        correlation_id: str | UUID | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Envelope:
        """Put an event into an envelope that is published now.

        Raises:
            EventError: An id is neither a string nor a UUID, or it is empty.
        """
        return wrap(event, event_id, correlation_id, metadata)


def wrap(
    event: Event,
    event_id: str | UUID | None,
    correlation_id: str | UUID | None,
    metadata: dict[str, Any] | None,
) -> Envelope:
    """Do what `Envelope.around` does; by position, for keywords cost as much as all the rest."""
    event_type = event.event_type
    if event_id is None:
        event_id = str(uuid7())
    elif type(event_id) is not str or not event_id:
        event_id = check_id(event_type, "event_id", event_id)
    if correlation_id is not None and (type(correlation_id) is not str or not correlation_id):
        correlation_id = check_id(event_type, "correlation_id", correlation_id)
    return Envelope(
        event_id=event_id,
        timestamp=datetime.now(UTC),
        event_type=event_type,
        schema_version=SCHEMA_VERSION,
        payload=event,
        correlation_id=correlation_id,
        metadata={} if metadata is None else metadata,
    )


_encode_json = msgspec.json.Encoder().encode


def _reader(cls: type[Event]) -> attrgetter[tuple[Any, ...]]:
    """Fetch in one call what `encode` needs of an event; None for fields that it does not have."""
    variant = "new_variant_key" if "new_variant_key" in cls.__struct_fields__ else "variant_key"
    nested = "data" if "data" in cls.__struct_fields__ else "attributes"
    routed_by = ("experiment_name", variant, "subject_id", "tenant_id")
    present = (name if name in cls.__struct_fields__ else "_absent" for name in routed_by)
    return attrgetter(nested, "extra", "timestamp", *present)


_READERS: dict[type, attrgetter[tuple[Any, ...]]] = {
    cls: _reader(cls) for cls in EVENT_TYPES.values()
}


def encode(envelope: Envelope) -> Record:
    """Turn an envelope into bytes, once, in the thread that publishes.

    Raises:
        EventError: A value has no JSON form, or an id or the metadata are not what they must be;
            ``field`` says which, in Python names.
    """
    return encode_wrapped(envelope) if _is_as_wrapped(envelope) else _encode_patiently(envelope)


def _is_as_wrapped(envelope: Envelope) -> bool:
    """Whether an envelope's own parts are of the exact types, and this release's, as by `wrap`."""
    payload: Any = envelope.payload
    correlation_id = envelope.correlation_id
    return (
        type(payload) in _READERS
        and type(envelope.event_type) is str
        and envelope.event_type == payload.event_type
        and (type(envelope.event_id) is str and envelope.event_id != "")
        and (correlation_id is None or (type(correlation_id) is str and correlation_id != ""))
        and type(envelope.schema_version) is str
        and envelope.schema_version == SCHEMA_VERSION
        and type(envelope.timestamp) is datetime
        and envelope.timestamp.tzinfo is UTC
        and envelope.extra is None
    )


def encode_wrapped(envelope: Envelope) -> Record:
    """Do what `encode` does of an envelope that `wrap` made: its own parts need no second look.

    Raises:
        EventError: As `encode`.
    """
    # msgspec alone turns NaN into null without a trace, drops the fraction of a whole second, and
    # takes any type in any field: what goes to it directly has been looked at.
    event: Any = envelope.payload
    nested, extra, timestamp, experiment_name, variant_key, subject_id, tenant_id = _READERS[
        type(event)
    ](event)
    metadata = envelope.metadata
    body = None
    try:
        if (
            (nested is None or is_plain(nested))
            and (type(metadata) is dict and (not metadata or is_plain(metadata)))
            and extra is None
        ):
            has_fractions = timestamp.microsecond and envelope.timestamp.microsecond
            body = _encode_json(envelope if has_fractions else _with_fractions(envelope, event))
    except Exception:  # noqa: BLE001  # the patient encoder finds out what is wrong and where
        body = None
    if body is None:
        return _encode_patiently(envelope)
    return Record(
        event_id=envelope.event_id,
        event_type=envelope.event_type,
        schema_version=SCHEMA_VERSION,
        timestamp=timestamp,
        experiment_name=experiment_name,
        variant_key=variant_key,
        subject_id=subject_id,
        tenant_id=tenant_id,
        correlation_id=envelope.correlation_id,
        body=body,
    )


def _with_fractions(envelope: Envelope, event: Event) -> Envelope:
    """Give a copy whose timestamps are text already, with six fraction digits."""
    event = copy(event)
    force_setattr(event, "timestamp", format_time(event.timestamp))
    return replace(envelope, timestamp=format_time(envelope.timestamp), payload=event)


def _encode_patiently(envelope: Envelope) -> Record:
    """Encode any envelope, value by value, or say which value has no JSON form."""
    _check_parts(envelope)
    normalize = Normalizer()
    try:
        wire = _wire_form(envelope, normalize)
    except Unencodable as error:
        raise EventError(envelope.event_type, error.path, str(error)) from error
    if normalize.non_finite:
        known = wire["metadata"].get("nonFinite", [])
        wire["metadata"]["nonFinite"] = [*known, *normalize.non_finite]
    return Record.from_body(_encode_json(wire))


def _wire_form(envelope: Envelope, normalize: Normalizer) -> dict[str, Any]:
    payload = envelope.payload
    return {
        "eventId": normalize(envelope.event_id, "event_id"),
        "timestamp": normalize(envelope.timestamp, "timestamp"),
        "eventType": normalize(envelope.event_type, "event_type"),
        "schemaVersion": envelope.schema_version,
        "payload": (
            _payload(payload, normalize)
            if isinstance(payload, Event)
            else normalize(payload, "payload")
        ),
        "correlationId": normalize(envelope.correlation_id, "correlation_id"),
        "metadata": normalize(envelope.metadata, "metadata"),
        **normalize(envelope.extra or {}, "extra"),
    }


def _payload(event: Event, normalize: Normalizer) -> dict[str, Any]:
    names = zip(event.__struct_fields__, event.__struct_encode_fields__, strict=True)
    fields: dict[str, Any] = {
        wire: normalize(value, name)
        for name, wire in names
        if name != "extra" and (value := getattr(event, name)) is not None
    }
    extra: dict[str, Any] = normalize(event.extra or {}, "extra")
    return fields | extra


def _check_parts(envelope: Envelope) -> None:
    """Refuse an envelope that was made by hand out of parts of wrong types."""
    for field, kinds in _PARTS.items():
        part = getattr(envelope, field)
        if not isinstance(part, kinds):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise EventError(
                str(envelope.event_type), field, f"expected {expected}, got {part!r:.60}"
            )
    event_type = envelope.event_type
    expected_payload = EVENT_TYPES.get(event_type, dict)
    if type(envelope.payload) is not expected_payload:
        kind = type(envelope.payload).__name__
        raise EventError(event_type, "payload", f"expected {expected_payload.__name__}, got {kind}")
    if not _VERSION.fullmatch(envelope.schema_version):
        raise EventError(
            event_type, "schema_version", f"expected {_MAJOR}.x.y, got {envelope.schema_version}"
        )
    check_id(event_type, "event_id", envelope.event_id)
    if envelope.correlation_id is not None:
        check_id(event_type, "correlation_id", envelope.correlation_id)
    for name in _ENVELOPE_FIELDS.intersection(envelope.extra or ()):
        raise EventError(event_type, f"extra.{name}", "is a field of the envelope itself")


_ENVELOPE_FIELDS = frozenset(Envelope.__struct_encode_fields__) - {"$extra"}
_MAJOR = SCHEMA_VERSION.partition(".")[0]
_VERSION_PATTERN = rf"^{_MAJOR}\.[0-9]+\.[0-9]+$"
_VERSION = re.compile(_VERSION_PATTERN.strip("^$"))
_PARTS: Final[dict[str, tuple[type, ...]]] = {
    "event_type": (str,),
    "timestamp": (datetime,),
    "schema_version": (str,),
    "metadata": (dict,),
    "extra": (dict, NoneType),
}


class Head(msgspec.Struct, rename="camel"):
    """An envelope as it is read, but for its payload: what msgspec checks of it."""

    event_id: Annotated[str, msgspec.Meta(min_length=1)]
    timestamp: Annotated[datetime, msgspec.Meta(tz=True)]
    event_type: str
    schema_version: Annotated[str, msgspec.Meta(pattern=_VERSION_PATTERN)]
    correlation_id: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def decode(data: bytes | str, *, fill_missing: bool = False) -> Envelope:
    """Read an envelope of any minor schema version of this major one.

    Fields that this release does not know are kept, in ``extra`` of the envelope and of the event;
    an event of an unknown type is kept as a dict. Of two members with one name the last one counts;
    a byte order mark at the start is skipped.

    Args:
        data: One JSON document.
        fill_missing: Ask for ``eventType`` and ``payload`` only, and make what else is missing.

    Raises:
        DecodeError: It is no JSON, no envelope, or one of another major version.
    """
    fields = _read_object(data)
    if fill_missing:
        fields = {
            "eventId": new_event_id(),
            "timestamp": format_time(datetime.now(UTC)),
            "schemaVersion": SCHEMA_VERSION,
        } | {key: value for key, value in fields.items() if value is not None}
    version = fields.get("schemaVersion")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise DecodeError(f"schemaVersion is {version!r:.60}, this release reads {_MAJOR}.x.y")
    try:
        head = msgspec.convert(fields, Head)
    except msgspec.ValidationError as error:
        raise DecodeError(f"not an envelope: {error}") from error
    extra = {key: value for key, value in fields.items() if key not in _ENVELOPE_FIELDS}
    return Envelope(
        event_id=head.event_id,
        timestamp=in_utc(head.timestamp),
        event_type=head.event_type,
        schema_version=version,
        payload=_read_payload(head.event_type, fields.get("payload")),
        correlation_id=head.correlation_id,
        metadata=head.metadata,
        extra=extra or None,
    )


def _read_object(data: bytes | str) -> dict[str, Any]:
    try:
        if isinstance(data, str):
            return _decode_object(data.removeprefix("\ufeff"))
        return _decode_object(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DecodeError(f"not a JSON object: {error}") from error


def _read_payload(event_type: str, payload: Any) -> Event | dict[str, Any]:
    if not isinstance(payload, dict):
        raise DecodeError(f"not an envelope: payload is {payload!r:.60}, expected an object")
    cls = EVENT_TYPES.get(event_type)
    if cls is None:
        return payload
    names = _WIRE_NAMES[cls]
    try:
        if payload.keys() <= names:
            return msgspec.convert(payload, cls)
        event = msgspec.convert({key: payload[key] for key in payload.keys() & names}, cls)
        return replace(event, extra={key: payload[key] for key in payload if key not in names})
    except (msgspec.ValidationError, EventError) as error:
        raise DecodeError(f"not a valid {event_type}: {error}") from error


_WIRE_NAMES = {
    cls: frozenset(cls.__struct_encode_fields__) - {"$extra"} for cls in EVENT_TYPES.values()
}
