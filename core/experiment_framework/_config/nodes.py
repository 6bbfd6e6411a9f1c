"""A configuration as a tree whose scalars still have their text and their place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as AbstractSequence
from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec

from experiment_framework._config.core_schema import plain_value, python_text
from experiment_framework._config.findings import Finding, Refusal, Related, Span
from experiment_framework._problems import Path, Problem

__all__ = [
    "MAX_DEPTH",
    "Block",
    "Entry",
    "Instance",
    "Items",
    "Node",
    "Scalar",
    "from_python",
    "refuse",
    "refuse_key",
    "scalars",
    "to_python",
]

MAX_DEPTH: Final = 64


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """What every node has.

    Attributes:
        path: Keys and positions from the root.
        span: Where it is written; None where it came from Python.
        key_span: Where the key is that holds it.
        via: The merge keys and aliases that brought it to its path.
    """

    path: Path = ()
    span: Span | None = None
    key_span: Span | None = None
    via: tuple[Related, ...] = ()


class Scalar(_Place, frozen=True, kw_only=True):
    """One value.

    Attributes:
        text: The value as it was written, without quotes and escapes.
        plain: Whether its text may stand for a number, a truth value or null.
        variables: The environment variables that are part of it.
        values_of: Those of them that gave their value; for the others their default stands.
        broken: Whether a problem with it is known already.
    """

    text: str
    plain: bool
    variables: tuple[str, ...] = ()
    values_of: tuple[str, ...] = ()
    broken: bool = False

    @property
    def is_null(self) -> bool:
        """Whether nothing was written, or null."""
        return self.plain and not self.variables and plain_value(self.text) is None


class Items(_Place, frozen=True, kw_only=True):
    """A list."""

    items: tuple[Node, ...]


class Entry(msgspec.Struct, frozen=True):
    """A key of a mapping, and its value."""

    key: str
    value: Node
    span: Span | None = None


class Block(_Place, frozen=True, kw_only=True):
    """A mapping; no key is in it twice."""

    entries: tuple[Entry, ...]

    def get(self, key: str) -> Node | None:
        """Give the value of a key."""
        return next((entry.value for entry in self.entries if entry.key == key), None)

    def without_extensions(self) -> Iterator[Entry]:
        """Give the entries whose keys do not begin with ``x-``."""
        return (entry for entry in self.entries if not entry.key.startswith("x-"))


class Instance(_Place, frozen=True, kw_only=True):
    """A Python object that has no written form, such as nested options built in code."""

    value: Any


Node: TypeAlias = Scalar | Items | Block | Instance


def refuse(
    node: Node,
    message: str,
    *,
    found: str | None = None,
    expected: str | None = None,
    suggestion: str | None = None,
) -> Refusal:
    """Make the refusal of a value."""
    problem = Problem(
        message=message, path=node.path, found=found, expected=expected, suggestion=suggestion
    )
    return Refusal([Finding(problem, node.span, node.via)])


def refuse_key(
    entry: Entry,
    message: str,
    *,
    expected: str | None = None,
    suggestion: str | None = None,
    meant: str | None = None,
) -> Refusal:
    """Make the refusal of a key, possibly meant to be another one."""
    problem = Problem(
        message=message, path=entry.value.path, expected=expected, suggestion=suggestion
    )
    spoils = None if meant is None else (*entry.value.path[:-1], meant)
    return Refusal([Finding(problem, entry.span, entry.value.via, spoils)])


def from_python(value: object, path: Path = (), depth: int = 0) -> Node:
    """Turn a Python value into nodes; a string counts as quoted.

    Raises:
        Refusal: It is nested too deeply, or within itself.
    """
    if depth > MAX_DEPTH:
        raise refuse(
            Scalar(text="", plain=False, path=path), f"nested deeper than {MAX_DEPTH} levels"
        )
    if isinstance(value, Enum):
        return from_python(value.value, path, depth + 1)
    if isinstance(value, str | os.PathLike):
        return Scalar(text=os.fspath(value), plain=False, path=path)
    if value is None or isinstance(value, bool | int | float):
        return Scalar(text=python_text(value), plain=True, path=path)
    if isinstance(value, Mapping):
        keyed = [(_key(key), item) for key, item in value.items()]
        return Block(
            path=path,
            entries=tuple(
                Entry(key, from_python(item, (*path, key), depth + 1)) for key, item in keyed
            ),
        )
    if isinstance(value, AbstractSequence) and not isinstance(value, bytes | bytearray):
        items = (from_python(item, (*path, index), depth + 1) for index, item in enumerate(value))
        return Items(path=path, items=tuple(items))
    return Instance(path=path, value=value)


def _key(key: object) -> str:
    return key if isinstance(key, str) else python_text(key)


def to_python(node: Node) -> Any:
    """Turn nodes into plain Python values by the YAML core schema.

    A number whose own text would be another one (``0500``, ``1.10``) stays a string: it may be a
    code or a version.
    """
    match node:
        case Scalar():
            return plain_value(node.text) if node.plain and not node.variables else node.text
        case Items():
            return [to_python(item) for item in node.items]
        case Block():
            return {entry.key: to_python(entry.value) for entry in node.entries}
        case Instance():
            return node.value


def scalars(node: Node) -> Iterator[Scalar]:
    """Give all scalars below a node."""
    match node:
        case Scalar():
            yield node
        case Items():
            for item in node.items:
                yield from scalars(item)
        case Block():
            for entry in node.entries:
                yield from scalars(entry.value)
        case Instance():
            return
