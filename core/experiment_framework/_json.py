"""Any Python value an attribute may hold, as strict JSON: or a refusal that names the place."""

from __future__ import annotations

import math
import os
import sys
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, ClassVar, Final, TypeAlias
from uuid import UUID

import msgspec
from uuid_utils import UUID as FAST_UUID

__all__ = ["NAIVE", "Normalizer", "Unencodable", "format_time", "is_plain", "unwrap_numpy"]

NAIVE: Final = (
    "has no time zone, so it names no moment: make it aware, for example datetime.now(UTC), or "
    "value.replace(tzinfo=UTC) if it is in UTC"
)

MAX_DEPTH: Final = 64
MAX_VALUES: Final = 100_000
"""A structure that shares its parts can be small in memory and without end as JSON."""

_WORD: Final = 64
_WIDE: Final = 256
"""A container with more items is not looked at quickly: its values are counted."""

_SCALARS: Final = frozenset({str, int, bool, NoneType})


_Conversion: TypeAlias = Callable[["Normalizer", Any, str, int], Any]


class Unencodable(Exception):  # noqa: N818  # becomes an EventError where the event is known
    """A value that has no JSON form.

    Attributes:
        path: Where it stands, such as ``attributes.cart.total``.
    """

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        super().__init__(message)


def format_time(moment: datetime) -> str:
    """Write an aware moment as RFC 3339 in UTC with six fraction digits and ``Z``."""
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds") + "Z"


def is_plain(mapping: dict[Any, Any], levels: int = 3) -> bool:
    """Whether msgspec alone writes a dict as `Normalizer` would.

    Asked for every event, so it is quick rather than complete: what is wide, or nested deeper than
    ``levels``, gets no for an answer.
    """
    if len(mapping) > _WIDE:
        return False
    for key, value in mapping.items():
        if type(key) is not str:
            return False
        kind = type(value)
        if kind is str or kind is int or kind in _SCALARS:
            continue
        if kind is float:
            if value - value != 0.0:  # NaN or infinite
                return False
        elif not levels or not _is_plain_container(value, levels - 1):
            return False
    return True


def _is_plain_container(value: Any, levels: int) -> bool:
    if type(value) is dict:
        return is_plain(value, levels)
    if (type(value) is not list and type(value) is not tuple) or len(value) > _WIDE:
        return False
    return all(
        type(item) in _SCALARS
        or (type(item) is float and item - item == 0.0)
        or (levels > 0 and _is_plain_container(item, levels - 1))
        for item in value
    )


def unwrap_numpy(value: Any) -> Any:
    """Give the Python value of a numpy scalar or array; any other value as it is.

    numpy is never imported for it: what is not loaded has no scalars.
    """
    numpy = sys.modules.get("numpy")
    # Another thread may be in the middle of importing it.
    kinds: tuple[Any, ...] = (getattr(numpy, "generic", None), getattr(numpy, "ndarray", None))
    if None in kinds or not isinstance(value, kinds):
        return value
    if value.dtype.kind in "mM":  # as nanoseconds they would become mere integers
        value = value.astype(f"{value.dtype.kind}8[us]")
    plain = value.tolist()
    return float(plain) if type(plain) is type(value) else plain  # longdouble stays itself


class Normalizer:
    """Turns values into what strict JSON has; remembers where a number was not finite."""

    def __init__(self) -> None:
        self.non_finite: list[str] = []
        self._values_left = MAX_VALUES

    def __call__(self, value: Any, path: str, depth: int = 0) -> Any:
        """Give the JSON form of a value.

        Args:
            value: Anything.
            path: Where it stands, for the error and for `non_finite`.
            depth: How many containers are around it.

        Raises:
            Unencodable: The value, or one inside it, has none.
        """
        self._values_left -= 1
        if depth > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH} levels, or within itself"
            raise Unencodable(f"{path[:60]}…", message)
        if self._values_left < 0:
            raise Unencodable(path, f"more than {MAX_VALUES:,} values in one event")
        kind = type(value)
        convert = self._by_exact_kind.get(kind) or self._conversion(kind)
        try:
            return convert(self, value, path, depth)
        except Unencodable:
            raise
        except Exception as error:
            # A user's own class may raise anything while it is read.
            raise Unencodable(path, f"{kind.__qualname__} cannot be read: {error!r}") from error

    def _itself(self, value: Any, _path: str, _depth: int) -> Any:
        return value

    def _string(self, value: str, path: str, _depth: int) -> str:
        text = str.__str__(value)
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                shown = f"{text[:40]!r}"
                raise Unencodable(path, f"{shown} holds a lone surrogate: not UTF-8") from None
        return text

    def _integer(self, value: int, path: str, _depth: int) -> int:
        number = int(value)
        if number.bit_length() > _WORD:
            try:
                str(number)
            except ValueError:  # sys.set_int_max_str_digits
                raise Unencodable(path, "an integer of several thousand digits") from None
        return number

    def _float(self, value: float, path: str, _depth: int) -> float | None:
        if math.isfinite(value):
            return float(value)
        self.non_finite.append(path)
        return None

    def _decimal(self, value: Decimal, path: str, _depth: int) -> str | None:
        if value.is_finite():
            return str(value)
        self.non_finite.append(path)
        return None

    def _moment(self, value: datetime, path: str, _depth: int) -> str:
        if value.utcoffset() is None:
            raise Unencodable(path, f"{value.isoformat()} {NAIVE}")
        try:
            return format_time(value)
        except OverflowError:
            raise Unencodable(path, f"{value.isoformat()} is not a moment in UTC") from None

    def _day_or_time(self, value: date | time, _path: str, _depth: int) -> str:
        return value.isoformat()

    def _duration(self, value: timedelta, _path: str, _depth: int) -> float:
        return value.total_seconds()

    def _identifier(self, value: UUID | FAST_UUID, _path: str, _depth: int) -> str:
        return str(value)

    def _bytes(self, value: bytes | bytearray | memoryview, _path: str, _depth: int) -> str:
        return b2a_base64(value, newline=False).decode()

    def _enum(self, value: Enum, path: str, depth: int) -> Any:
        return self(value.value, path, depth + 1)

    def _file_path(self, value: os.PathLike[str], path: str, depth: int) -> Any:
        return self(os.fspath(value), path, depth + 1)

    def _mapping(self, value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in list(value.items()):  # a copy: another thread may be changing it
            name = self._key(key, path)
            if name in result:
                raise Unencodable(f"{path}.{name}", "two keys have this name once they are strings")
            result[name] = self(item, f"{path}.{name}", depth + 1)
        return result

    def _key(self, key: Any, path: str) -> str:
        if type(key) is str and key.isascii():
            return key
        plain = self(key, path)
        if isinstance(plain, str):
            return plain
        if isinstance(plain, bool | int | float):
            return msgspec.json.encode(plain).decode()
        raise Unencodable(path, f"a key of type {type(key).__name__} has no JSON form: use strings")

    def _items(self, value: Iterable[Any], path: str, depth: int) -> list[Any]:
        return [self(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]

    def _set(self, value: AbstractSet[Any], path: str, depth: int) -> list[Any]:
        # A set has no positions: its items go by its own path.
        items = [self(item, path, depth + 1) for item in list(value)]
        return sorted(items, key=msgspec.json.encode)

    def _object(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        names = _field_names(kind)
        if names is not None:
            return self._mapping({name: getattr(value, name) for name in names}, path, depth)
        unwrapped = unwrap_numpy(value)
        if unwrapped is value:
            raise Unencodable(path, f"{kind.__module__}.{kind.__qualname__} has no JSON form")
        if unwrapped is None:  # numpy's "not a time"
            self.non_finite.append(path)
            return None
        return self(unwrapped, path, depth + 1)

    # The order matters: a StrEnum is an Enum first, a datetime is not just a date.
    _by_kind: ClassVar[tuple[tuple[Any, _Conversion], ...]] = (
        (Enum, _enum),
        (str, _string),
        (bool, _itself),
        (int, _integer),
        (float, _float),
        (NoneType, _itself),
        (Mapping, _mapping),
        (datetime, _moment),
        ((date, time), _day_or_time),
        (timedelta, _duration),
        (Decimal, _decimal),
        ((UUID, FAST_UUID), _identifier),
        ((bytes, bytearray, memoryview), _bytes),
        (Sequence, _items),
        (AbstractSet, _set),
        (os.PathLike, _file_path),
        (object, _object),
    )
    _by_exact_kind: ClassVar[dict[type, _Conversion]] = {
        str: _string,
        int: _integer,
        float: _float,
        bool: _itself,
        NoneType: _itself,
        dict: _mapping,
        list: _items,
        tuple: _items,
        datetime: _moment,
        Decimal: _decimal,
        UUID: _identifier,
    }

    def _conversion(self, kind: type) -> _Conversion:
        return next(convert for base, convert in self._by_kind if issubclass(kind, base))


def _field_names(kind: type) -> list[str] | None:
    """Name the fields of a dataclass, an attrs class or a msgspec Struct."""
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields

        return [field.name for field in fields(kind)]
    if hasattr(kind, "__attrs_attrs__"):
        return [field.name for field in kind.__attrs_attrs__]
    return list(kind.__struct_fields__) if issubclass(kind, msgspec.Struct) else None
