"""The YAML 1.2 core schema: what a plain scalar's text stands for."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Unreadable", "boolean", "integer", "number", "plain_value", "python_text"]

_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {
    text: value
    for word, value in (("true", True), ("false", False))
    for text in (word, word.capitalize(), word.upper())
}
# Far above every bound of an option, far below what Python refuses to convert.
_MOST_DIGITS: Final = 40


class Unreadable(ValueError):  # noqa: N818  # an answer, not an error of ours
    """The text does not stand for a value of the kind asked for."""


def boolean(text: str) -> bool:
    """Read ``true`` or ``false``.

    Raises:
        Unreadable: It is neither.
    """
    try:
        return _BOOLEANS[text]
    except KeyError:
        raise Unreadable from None


def integer(text: str) -> int:
    """Read a decimal, octal (``0o``) or hexadecimal (``0x``) integer.

    Raises:
        Unreadable: It is none, or has more digits than any option takes.
    """
    if len(text) > _MOST_DIGITS or not _INTEGER.fullmatch(text):
        raise Unreadable
    base = 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10
    return int(text, base)


def number(text: str) -> float:
    """Read an integer or a decimal fraction; ``.inf`` and ``.nan`` too.

    Raises:
        Unreadable: It is neither.
    """
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    if _NUMBER.fullmatch(text):
        return float(text)
    return float(integer(text))


def plain_value(text: str) -> str | int | float | bool | None:
    """Give what a plain scalar stands for where no type is declared.

    Decimal numbers that Python would write differently stay text: ``0500`` and ``1.10`` are codes
    and versions more often than numbers, and as text nothing of them is lost.
    """
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    for read in (integer, number):
        try:
            value = read(text)
        except Unreadable:
            continue
        decimal = not text.startswith(("0o", "0x"))
        return text if decimal and python_text(value) != text else value
    return text


def python_text(value: object) -> str:
    """Write a Python value as a plain scalar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        try:
            return int.__repr__(value)
        except ValueError:  # sys.set_int_max_str_digits
            return hex(value)
    if isinstance(value, float):
        text = float.__repr__(value)
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(text, text)
    return str(value)
