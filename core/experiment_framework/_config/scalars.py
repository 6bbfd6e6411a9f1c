"""Conversion of one scalar by the text that was written."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, get_args

from experiment_framework._config.annotations import (
    arms,
    bare,
    is_list,
    is_literal,
    is_mapping,
    type_text,
)
from experiment_framework._config.core_schema import (
    Unreadable,
    boolean,
    integer,
    number,
    plain_value,
    python_text,
)
from experiment_framework._config.findings import Refusal
from experiment_framework._config.nodes import Block, Instance, Items, Node, Scalar, refuse
from experiment_framework._config.suggestions import closest

__all__ = [
    "described",
    "mistaken",
    "to_bool",
    "to_float",
    "to_int",
    "to_literal",
    "to_path",
    "to_str",
]

_LONGEST_SHOWN: Final = 60
_KINDS: Final = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    Path: "a path",
}
_YAML_1_1_BOOLEANS: Final = {
    "on": "true",
    "yes": "true",
    "y": "true",
    "off": "false",
    "no": "false",
}


def to_bool(node: Node, annotation: Any = bool) -> bool:
    """Convert ``true`` or ``false``.

    Raises:
        Refusal: It is something else; ``on``, ``yes`` and ``"true"`` are strings.
    """
    scalar = _unquoted(node, annotation)
    try:
        return boolean(scalar.text)
    except Unreadable:
        meant = _YAML_1_1_BOOLEANS.get(scalar.text.lower())
        advice = f"Write `{meant}`." if meant else None
        raise mistaken(node, annotation, advice) from None


def to_int(node: Node, annotation: Any = int) -> int:
    """Convert an integer.

    Raises:
        Refusal: It is something else; ``12.0`` is a number, ``"12"`` is a string.
    """
    try:
        return integer(_unquoted(node, annotation).text)
    except Unreadable:
        raise mistaken(node, annotation) from None


def to_float(node: Node, annotation: Any = float) -> float:
    """Convert a finite number.

    Raises:
        Refusal: It is something else.
    """
    try:
        value = number(_unquoted(node, annotation).text)
    except (Unreadable, OverflowError):
        raise mistaken(node, annotation) from None
    if not math.isfinite(value):
        raise mistaken(node, annotation, "It has to be finite.")
    return value


def to_str(node: Node, annotation: Any = str) -> str:
    """Take a scalar as it was written: ``0500`` and ``off`` are strings here.

    Raises:
        Refusal: Nothing was written, or a list or mapping.
    """
    if isinstance(node, Scalar) and not node.is_null:
        return node.text
    raise mistaken(node, annotation)


def to_path(node: Node, annotation: Any = Path) -> Path:
    """Take a path as it was written.

    Raises:
        Refusal: Nothing was written, or a list or mapping.
    """
    text = to_str(node, annotation)
    if not text or "\0" in text:
        raise mistaken(node, annotation)
    return Path(text)


def to_literal(node: Node, annotation: Any) -> Any:
    """Choose a literal by its text: ``1`` and ``"1"`` choose the same.

    Raises:
        Refusal: None of them has this text.
    """
    choices = {python_text(choice): choice for choice in get_args(bare(annotation))}
    if not isinstance(node, Scalar):
        raise mistaken(node, annotation)
    if node.text in choices and not node.is_null:
        return choices[node.text]
    meant = closest(node.text, choices)
    raise mistaken(node, annotation, f"Did you mean `{meant}`?" if meant else None)


HOOKS: Final[dict[Any, Callable[[Any, Any], Any]]] = {
    bool: to_bool,
    int: to_int,
    float: to_float,
    str: to_str,
    Path: to_path,
}
"""How each type of scalar is converted."""


def described(node: Node) -> str:
    """Say what was written, and as what it was taken."""
    match node:
        case Block():
            return "a mapping"
        case Items():
            return "a list"
        case Instance():
            kind = type(node.value)
            return f"a {kind.__module__}.{kind.__qualname__}"
        case Scalar():
            return _described_scalar(node)


def _described_scalar(node: Scalar) -> str:
    if node.is_null:
        return node.text or "nothing"
    text = node.text if len(node.text) <= _LONGEST_SHOWN else node.text[:_LONGEST_SHOWN] + "…"
    if node.variables:
        return f'"{text}", from {", ".join(f"${{{name}}}" for name in node.variables)}'
    if not node.plain:
        return f'the string "{text}"'
    value = plain_value(node.text)
    if isinstance(value, bool):
        return f"{text} (a boolean)"
    return f"the number {text}" if isinstance(value, int | float) else f'"{text}"'


def _unquoted(node: Node, annotation: Any) -> Scalar:
    if not isinstance(node, Scalar) or node.is_null:
        raise mistaken(node, annotation)
    if not node.plain and not node.variables:
        looks_right = not isinstance(plain_value(node.text), str | None)
        raise mistaken(node, annotation, "Leave the quotes out." if looks_right else None)
    return node


def mistaken(node: Node, annotation: Any, suggestion: str | None = None) -> Refusal:
    """Make the refusal of a value of another kind."""
    members = arms(annotation)
    kind = bare(members[0]) if len(members) == 1 else annotation
    word = _KINDS.get(kind) or (
        "one of the choices"
        if is_literal(kind)
        else "a list"
        if is_list(kind)
        else "a mapping"
        if is_mapping(kind)
        else "what is expected here"
    )
    return refuse(
        node,
        f"not {word}",
        found=described(node),
        expected=type_text(annotation),
        suggestion=suggestion,
    )
