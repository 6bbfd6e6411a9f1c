"""A record as a row, and a row as the envelope that it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec
from experiment_framework.plugin import Record

__all__ = ["Row", "body_of", "row_maker"]

Row: TypeAlias = tuple[Any, ...]

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode
_CANONICAL: Final = len("2026-01-02T03:04:05.123456Z")


class _Payload(msgspec.Struct, rename="camel", gc=False):
    """What a payload has beside the fields of a record that makes a column."""

    timestamp: Any = None
    subject_type: Any = None
    metric_name: Any = None
    value: Any = None


_decode_payload = msgspec.json.Decoder(_Payload).decode
_moment = msgspec.json.Decoder(datetime).decode
_OWN: Final = frozenset(
    {
        "eventId",
        "timestamp",
        "eventType",
        "schemaVersion",
        "payload",
        "correlationId",
        "metadata",
    }
)


def row_maker(dialect: str) -> Callable[[Record], Row]:
    """Give what makes a row out of a record, in the order of ``EVENT_COLUMNS``."""
    as_moment, as_text = _MOMENTS.get(dialect, (_as_naive, None))

    def moment(written: Any, read: Callable[[], datetime]) -> Any:
        # What we write ourselves has one form; to read it and write it anew takes a microsecond.
        if as_text and type(written) is str and len(written) == _CANONICAL and written[-1] == "Z":
            return as_text(written)
        return as_moment(read())

    def row(record: Record) -> Row:
        fields = _decode(record.body)
        payload = _decode_payload(fields["payload"])
        published = fields["timestamp"]
        value = payload.value
        return (
            record.event_id,
            moment(str(published, "utf-8")[1:-1], lambda: _moment(published)),
            moment(payload.timestamp, lambda: record.timestamp),
            record.event_type,
            record.schema_version,
            record.experiment_name,
            record.variant_key,
            record.subject_id,
            _text(payload.subject_type),
            record.tenant_id,
            _text(payload.metric_name),
            value if value is None else _number(value),
            record.correlation_id,
            str(fields["payload"], "utf-8"),
            str(fields["metadata"], "utf-8") if "metadata" in fields else "{}",
            None if fields.keys() <= _OWN else _extra(fields),
        )

    return row


def _extra(fields: Mapping[str, msgspec.Raw]) -> str:
    """Give the fields of a newer version of the envelope."""
    return _encode({key: fields[key] for key in fields if key not in _OWN}).decode()


def body_of(row: Mapping[str, Any]) -> bytes:
    """Make the envelope's bytes again: the same that the row was made of."""
    fields: dict[str, Any] = {
        "eventId": row["event_id"],
        "timestamp": _written(row["timestamp"]),
        "eventType": row["event_type"],
        "schemaVersion": row["schema_version"],
        "payload": _raw(row["payload"]),
        "correlationId": row["correlation_id"],
        "metadata": _raw(row["metadata"]),
    }
    if row["extra"] is not None:
        fields |= {key: value for key, value in _decode(row["extra"]).items() if key not in _OWN}
    return _encode(fields)


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _as_text(moment: datetime) -> str:
    return _as_naive(moment).isoformat(sep=" ", timespec="microseconds")


def _as_zoned_text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def _as_naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _spaced(canonical: str) -> str:
    return canonical.replace("T", " ")[:-1]


_Moments: TypeAlias = tuple[Callable[[datetime], Any], Callable[[str], str]]
# Text costs less than what a driver makes of a datetime; SQLite has no other form of it.
_MOMENTS: Final[dict[str, _Moments]] = {
    "sqlite": (_as_text, _spaced),
    "postgresql": (_as_zoned_text, str),
}


def _written(moment: datetime) -> str:
    zoned = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return zoned.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
