"""Any Python value an attribute may hold, as strict JSON: or a refusal that names the place."""

from __future__ import annotations

import base64
import dataclasses
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import msgspec
from uuid_utils import UUID as FAST_UUID

__all__ = ["Normalizer", "Unencodable", "format_time", "is_plain"]

MAX_DEPTH = 64
_SAFE = frozenset({str, bool, type(None)})
_LARGEST = 2**63


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


def is_plain(values: Mapping[Any, Any]) -> bool:
    """Whether a mapping can be encoded as it is; a quick look at one level, no recursion."""
    for key, value in values.items():
        kind = type(value)
        if type(key) is not str or (
            kind not in _SAFE
            and not (kind is float and value - value == 0.0)
            and not (kind is int and -_LARGEST <= value < _LARGEST)
        ):
            return False
    return True


class Normalizer:
    """Turns values into what strict JSON has; remembers where a number was not finite."""

    def __init__(self) -> None:
        self.non_finite: list[str] = []

    def __call__(self, value: Any, path: str, depth: int = 0) -> Any:
        """Give the JSON form of a value.

        Raises:
            Unencodable: The value, or one inside it, has none.
        """
        if value is None or value is True or value is False:
            return value
        if depth > MAX_DEPTH:
            raise Unencodable(path, f"nested deeper than {MAX_DEPTH} levels, or within itself")
        for kind, convert in _CONVERSIONS:
            if isinstance(value, kind):
                return convert(self, value, path, depth)
        return self._object(value, path, depth)

    def _string(self, value: str, path: str, _depth: int) -> str:
        text = str.__str__(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Unencodable(path, f"{text[:40]!r} holds a lone surrogate: not UTF-8") from None
        return text

    def _integer(self, value: int, path: str, _depth: int) -> int | msgspec.Raw:
        number = int(value)
        if -_LARGEST <= number < _LARGEST:
            return number
        try:
            return msgspec.Raw(str(number).encode())
        except ValueError:  # sys.set_int_max_str_digits
            raise Unencodable(path, "an integer of several thousand digits") from None

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
            raise Unencodable(
                path,
                f"{value.isoformat()} has no time zone: make it aware, for example "
                "value.replace(tzinfo=UTC) if it is in UTC",
            )
        try:
            return format_time(value)
        except OverflowError:
            raise Unencodable(path, f"{value.isoformat()} is not a moment in UTC") from None

    def _mapping(self, value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in value.items():
            name = self._key(key, path)
            if name in result:
                raise Unencodable(f"{path}.{name}", "two keys have this name once they are strings")
            result[name] = self(item, f"{path}.{name}", depth + 1)
        return result

    def _key(self, key: Any, path: str) -> str:
        plain = self(key, path)
        if isinstance(plain, str):
            return plain
        if isinstance(plain, bool | int | float):
            return msgspec.json.encode(plain).decode()
        raise Unencodable(path, f"a key of type {type(key).__name__} has no JSON form: use strings")

    def _items(self, value: Iterable[Any], path: str, depth: int) -> list[Any]:
        return [self(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]

    def _set(self, value: AbstractSet[Any], path: str, depth: int) -> list[Any]:
        return sorted(self._items(value, path, depth), key=msgspec.json.encode)

    def _object(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        if isinstance(value, msgspec.Struct):
            fields = {name: getattr(value, name) for name in value.__struct_fields__}
            return self._mapping(fields, path, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return self._mapping(fields, path, depth)
        if hasattr(kind, "__attrs_attrs__"):
            fields = {field.name: getattr(value, field.name) for field in kind.__attrs_attrs__}
            return self._mapping(fields, path, depth)
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.ndarray):
            return self._items(value.tolist(), path, depth)
        if numpy is not None and isinstance(value, numpy.generic):
            plain = value.item()
            if isinstance(plain, numpy.generic):  # longdouble is its own item
                plain = float(plain)  # type: ignore[arg-type]  # numpy is not a dependency
            return self(plain, path, depth + 1)
        raise Unencodable(path, f"{kind.__module__}.{kind.__qualname__} has no JSON form")


_Conversion = Callable[[Normalizer, Any, str, int], Any]
_CONVERSIONS: tuple[tuple[Any, _Conversion], ...] = (
    (Enum, lambda self, value, path, depth: self(value.value, path, depth + 1)),
    (str, Normalizer._string),  # noqa: SLF001
    (int, Normalizer._integer),  # noqa: SLF001
    (float, Normalizer._float),  # noqa: SLF001
    (Mapping, Normalizer._mapping),  # noqa: SLF001
    ((list, tuple), Normalizer._items),  # noqa: SLF001
    (AbstractSet, Normalizer._set),  # noqa: SLF001
    (datetime, Normalizer._moment),  # noqa: SLF001
    ((date, time), lambda _self, value, _path, _depth: value.isoformat()),
    (timedelta, lambda self, value, path, depth: self._float(value.total_seconds(), path, depth)),
    (Decimal, Normalizer._decimal),  # noqa: SLF001
    ((UUID, FAST_UUID, PurePath), lambda _self, value, _path, _depth: str(value)),
    (
        (bytes, bytearray, memoryview),
        lambda _self, value, _path, _depth: base64.b64encode(value).decode(),
    ),
    (msgspec.Raw, lambda _self, value, _path, _depth: value),
)
