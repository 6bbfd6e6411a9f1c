"""From a block to an instance of an options class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from experiment_framework._config.annotations import bare, is_list, type_text
from experiment_framework._config.fields import OptionField, option_fields
from experiment_framework._config.findings import NOTHING, Finding, Refusal
from experiment_framework._config.nodes import (
    Block,
    Items,
    Node,
    Scalar,
    refuse,
    refuse_key,
)
from experiment_framework._config.scalars import described
from experiment_framework._config.suggestions import closest
from experiment_framework.errors import ConfigError

__all__ = ["Gathering", "block_of", "separated"]


def block_of(node: Node, options_class: type[Any]) -> Block:
    """Give the block that options are written in; a key with nothing after it is an empty one.

    Raises:
        Refusal: It is something else.
    """
    if isinstance(node, Block):
        return node
    if isinstance(node, Scalar) and node.is_null:
        return Block(
            path=node.path, span=node.span, key_span=node.key_span, via=node.via, entries=()
        )
    raise refuse(
        node,
        "not a mapping",
        found=described(node),
        expected="a mapping of " + ", ".join(field.key for field in option_fields(options_class)),
    )


class Gathering:
    """The values of one block of options, and what is wrong with them."""

    def __init__(
        self,
        node: Block,
        options_class: type[Any],
        convert_field: Callable[[OptionField, Node], Any],
        inner: Mapping[str, str] | None = None,
    ) -> None:
        """Begin.

        Args:
            node: What was written.
            options_class: What it is to become.
            convert_field: Converts the value of one option.
            inner: Keys that belong into a block further in, each with the key of that block.
        """
        self._inner = inner or {}
        self._node = node
        self._convert_field = convert_field
        self._class = options_class
        self._fields = option_fields(options_class)
        self._findings: list[Finding] = []
        self._values: dict[str, Any] = {}
        self._refused = False

    def finish(self) -> Any:
        """Make the options.

        Raises:
            Refusal: With everything that is wrong.
        """
        misspelt = self._unknown_keys()
        for field in self._fields:
            entry = self._node.get(field.key)
            if entry is not None:
                self._take(field, entry)
            elif field.is_required and field.key not in misspelt:
                self._missing(field)
        if self._findings or self._refused:
            raise Refusal(self._findings, self._partial(misspelt))
        return self._made()

    def _unknown_keys(self) -> dict[str, Node]:
        keys = [field.key for field in self._fields]
        misspelt: dict[str, Node] = {}
        for entry in self._node.without_extensions():
            if entry.key in keys:
                continue
            home = self._home(entry.key)
            meant = None if home else closest(entry.key, keys)
            if meant is not None and self._node.get(meant) is None:
                misspelt[meant] = entry.value
            self._refuse(
                refuse_key(
                    entry,
                    "unknown key",
                    expected=f"one of {', '.join(sorted(keys))}" if keys else "nothing",
                    suggestion=home or (f"Did you mean `{meant}`?" if meant else None),
                    meant=meant,
                )
            )
        return misspelt

    def _home(self, key: str) -> str | None:
        """Say where a key belongs that is one of a block further in."""
        if key in self._inner:
            return f"Put `{key}` under `{self._inner[key]}:`."
        for field in self._fields:
            if field.nested and any(inner.key == key for inner in option_fields(field.nested)):
                return f"Put `{key}` under `{field.key}:`."
        return None

    def _take(self, field: OptionField, value: Node) -> None:
        try:
            self._values[field.name] = self._convert_field(field, value)
        except Refusal as refusal:
            self._refuse(refusal)
            if refusal.partial is not NOTHING:
                self._values[field.name] = refusal.partial

    def _missing(self, field: OptionField) -> None:
        node = self._node
        problem = refuse(
            msgspec.structs.replace(
                node, path=(*node.path, field.key), span=node.key_span or node.span
            ),
            "a required key is missing",
            expected=f"`{field.key}`: {type_text(field.type)}",
        )
        self._refuse(problem)

    def _refuse(self, refusal: Refusal) -> None:
        self._refused = True
        self._findings.extend(refusal.findings)

    def _partial(self, misspelt: dict[str, Node]) -> Any:
        """Make the options as far as they are right, so that they can be checked further."""
        for field in self._fields:
            if field.key in misspelt:
                try:
                    self._values[field.name] = self._convert_field(field, misspelt[field.key])
                except Refusal:
                    continue
        return self._unchecked()

    def _unchecked(self) -> Any:
        instance = object.__new__(self._class)
        for field in self._fields:
            value = self._values.get(field.name, NOTHING)
            if value is NOTHING:
                value = _empty(field) if field.is_required else field.default()
            object.__setattr__(instance, field.name, value)
        return instance

    def _made(self) -> Any:
        names = {field.name: field.attribute.alias or field.name for field in self._fields}
        arguments = {names[name]: value for name, value in self._values.items()}
        try:
            return self._class(**arguments)
        except ConfigError as error:
            raise Refusal(
                Finding(
                    msgspec.structs.replace(problem, path=(*self._node.path, *problem.path)),
                    self._node.span,
                )
                for problem in error.problems
            ) from None
        except (ValueError, TypeError) as error:
            raise refuse(self._node, f"these options are refused: {error}") from None


def _empty(field: OptionField) -> Any:
    """Stand in for a value that is not there; nothing that is found out about it is told."""
    kind = bare(field.type)
    return [] if is_list(kind) else "" if kind is str else None


def separated(field: OptionField, node: Node) -> Node:
    """Split what is written for a list at its separator, where one is declared."""
    separator = field.metadata.separator
    if separator is None:
        return node
    if isinstance(node, Scalar) and not node.is_null and not node.broken:
        items: Sequence[Node] = _parts(node, separator)
    elif isinstance(node, Items):
        items = [
            part
            for item in node.items
            for part in (_parts(item, separator) if _is_text(item) else [item])
        ]
    else:
        return node
    return Items(
        path=node.path,
        span=node.span,
        key_span=node.key_span,
        via=node.via,
        items=tuple(
            msgspec.structs.replace(item, path=(*node.path, index))
            for index, item in enumerate(items)
        ),
    )


def _is_text(node: Node) -> bool:
    return isinstance(node, Scalar) and not node.is_null and not node.broken


def _parts(node: Any, separator: str) -> list[Node]:
    texts = (part.strip() for part in node.text.split(separator))
    return [msgspec.structs.replace(node, text=text) for text in texts if text]
