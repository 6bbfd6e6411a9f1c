"""What a configuration comes to, value by value, and where each one is from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import attrs

from experiment_framework._config.fields import OptionField, option_fields
from experiment_framework._config.nodes import Block, Node, scalars
from experiment_framework._config.secrets import MASK, is_secret_name, scrubbed
from experiment_framework._config.source import Source
from experiment_framework._problems import Path
from experiment_framework._registry.chosen import Chosen

__all__ = ["EffectiveValue", "Plain", "effective_values", "origin_of", "plain"]

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"
_DEFAULT: Final = "default"


@attrs.frozen(kw_only=True)
class EffectiveValue:
    """One value of a configuration.

    Attributes:
        path: Keys from ``experimentFramework`` on, such as ``("dataPlane", "batchSize")``.
        value: The value, as JSON has it; secrets are masked.
        origin: ``default``, ``file:line:column`` (also of a default in ``${NAME:-default}``), or
            ``environment NAME at file:line:column``.
        used_by: Why it has no effect, such as ``not used by kafka``; empty where it has one.
    """

    path: Path
    value: Plain
    origin: str = _DEFAULT
    used_by: str = ""


def effective_values(
    options: Any, node: Node | None, path: Path, source: Source
) -> Iterator[EffectiveValue]:
    """List all options of an object, nested ones by themselves.

    Args:
        options: An instance of an options class.
        node: What was written for it.
        path: Where it stands.
        source: Where the node is from.
    """
    for field in option_fields(type(options)):
        value = getattr(options, field.name)
        written = node.get(field.key) if isinstance(node, Block) else None
        yield from _of_field(field, value, written, (*path, field.key), source)


def _of_field(
    field: OptionField, value: Any, written: Node | None, path: Path, source: Source
) -> Iterator[EffectiveValue]:
    if field.nested is not None and isinstance(value, field.nested):
        yield from effective_values(value, written, path, source)
    elif isinstance(value, Chosen):
        yield from effective_values(value.options, written, path, source)
    elif field.each is not None and isinstance(value, Mapping):
        for key, item in value.items():
            entry = written.get(key) if isinstance(written, Block) else None
            yield from effective_values(item, entry, (*path, key), source)
    elif field.metadata.secret:
        shown = _plain_option(field, value)
        yield EffectiveValue(path=path, value=shown, origin=origin_of(written, source))
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            entry = written.get(str(key)) if isinstance(written, Block) else None
            yield EffectiveValue(
                path=(*path, str(key)),
                value=MASK if is_secret_name(str(key)) else plain(item),
                origin=origin_of(entry, source),
            )
    else:
        yield EffectiveValue(path=path, value=plain(value), origin=origin_of(written, source))


def _plain_option(field: OptionField, value: Any) -> Plain:
    return MASK if field.metadata.secret and value is not None else plain(value)


def origin_of(node: Node | None, source: Source) -> str:
    """Say where a value is from."""
    if node is None:
        return _DEFAULT
    place = str(source.location(node.span.start)) if node.span else source.name
    names = dict.fromkeys(name for leaf in scalars(node) for name in leaf.values_of)
    return f"environment {', '.join(names)} at {place}" if names else place


def plain(value: Any) -> Plain:
    """Give the JSON form of an option's value, without what looks like a secret."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | os.PathLike):
        return scrubbed(os.fspath(value))
    if isinstance(value, Mapping):
        return {
            str(key): MASK if is_secret_name(str(key)) else plain(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if attrs.has(type(value)):
        return {
            field.key: _plain_option(field, getattr(value, field.name))
            for field in option_fields(type(value))
        }
    return scrubbed(str(value))
