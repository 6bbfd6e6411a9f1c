"""The rows of the option tables in the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import msgspec

from experiment_framework._config.annotations import is_options, type_text
from experiment_framework._config.effective import plain
from experiment_framework._config.fields import OptionField, option_fields

__all__ = ["OptionRow", "option_rows"]


@attrs.frozen(kw_only=True)
class OptionRow:
    """One option as the documentation shows it.

    Attributes:
        key: Its name in YAML; that of a nested option has dots.
        type: What it takes, in words.
        default: Its default as it would be written; ``required`` or ``none`` where there is none.
        help: What it is for.
        is_required: Whether it has to be written.
        is_secret: Whether it is masked.
    """

    key: str
    type: str
    default: str
    help: str
    is_required: bool
    is_secret: bool


def option_rows(options_class: type[Any], prefix: str = "") -> Iterator[OptionRow]:
    """Give one row for each option in the order of declaration, nested ones after their block."""
    for field in option_fields(options_class):
        key = f"{prefix}{field.key}"
        yield OptionRow(
            key=key,
            type=type_text(field.type),
            default=_default(field),
            help=field.metadata.help,
            is_required=field.is_required,
            is_secret=field.metadata.secret,
        )
        if (inner := field.nested or field.each) is not None:
            yield from option_rows(inner, f"{key}.")


def _default(field: OptionField) -> str:
    if field.is_required:
        return "required"
    default = field.default()
    if default is None or default is attrs.NOTHING or is_options(type(default)):
        return "none"
    if isinstance(default, str):
        return default or '""'
    return msgspec.json.encode(plain(default)).decode()
