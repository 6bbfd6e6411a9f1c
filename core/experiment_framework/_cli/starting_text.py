"""The text of a configuration to start from, made from what plugins declare."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from experiment_framework._config.fields import OptionField, option_fields
from experiment_framework.dataplane_options import DataPlaneOptions

__all__ = ["starting_text"]

_WIDTH: Final = 96
_PLAIN: Final = re.compile(
    r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[A-Za-z][\w./-]*", re.IGNORECASE
)
_HEAD: Final = """\
# yaml-language-server: $schema={schema}
#
# Where experiment events go. `experiment validate {file}` checks this file, and
# `experiment describe {file}` shows what it comes to.
# What begins with `#` and no space is an option with its default: remove the `#` to change it.
"""


def starting_text(
    *,
    file: str,
    schema: str,
    backplane: str,
    options_class: type[Any],
    step_options: Iterable[type[Any]] = (),
) -> str:
    """Write a configuration in which what is required stands and all else is a comment.

    Args:
        file: Its name, for its own text.
        schema: Where editors find its JSON Schema, seen from it.
        backplane: The type of the backplane.
        options_class: What the backplane's options are.
        step_options: What the options of the pipeline steps are.
    """
    lines = ["experimentFramework:", "  dataPlane:"]
    blocks: list[type[Any]] = [DataPlaneOptions, *step_options]
    for each in blocks:
        lines += _indented(_block(each, backplane), 4)
    lines += ["    backplane:", f"      type: {_scalar(backplane)}", "      options:"]
    lines += _indented(_block(options_class, backplane), 8)
    if not option_fields(options_class):
        lines[-1] += " {}"
    return _HEAD.format(schema=schema, file=file) + "\n".join(lines) + "\n"


def _indented(lines: Iterable[str], columns: int) -> list[str]:
    return [" " * columns + line if line else "" for line in lines]


def _block(options_class: type[Any], backplane: str) -> Iterator[str]:
    """Write the options of a class, those first that have to be given."""
    fields = sorted(option_fields(options_class), key=lambda field: not field.is_required)
    for field in fields:
        yield from _help(field)
        if field.is_required:
            yield f"{field.key}: {_example(field, backplane)}"
        else:
            yield from (f"#{line}" for line in _default(field, backplane))
        yield ""


def _help(field: OptionField) -> list[str]:
    text = field.metadata.help + (" Required." if field.is_required else "")
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")


def _default(field: OptionField, backplane: str) -> Iterator[str]:
    if field.nested is None:
        written = _example(field, backplane) if field.is_required else _value(field.default())
        yield f"{field.key}: {written}"
        return
    yield f"{field.key}:"
    for inner in option_fields(field.nested):
        for line in _help(inner):
            yield f"  {line}"
        for line in _default(inner, backplane):
            yield f"  {line}"


def _example(field: OptionField, backplane: str) -> str:
    """Give the example that the option declares, or else a variable to take the value from."""
    for meta in _metas(field.type):
        if meta.examples:
            return _value(meta.examples[0])
    variable = re.sub(r"\W", "_", f"{backplane}_{field.name}").upper()
    return _value(f"${{{variable}}}")


def _metas(annotation: Any) -> list[msgspec.Meta]:
    if get_origin(annotation) is not Annotated:
        return []
    return [each for each in get_args(annotation)[1:] if isinstance(each, msgspec.Meta)]


def _value(value: Any) -> str:
    """Write a value in YAML's flow style, which is JSON but for plain words."""
    if isinstance(value, str):
        return _scalar(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return msgspec.json.encode(value).decode()


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else msgspec.json.encode(text).decode()
