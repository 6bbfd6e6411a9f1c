"""Which parts of a tree are secret: by declaration, and by their names where nobody declared."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from experiment_framework._config.fields import OptionField, option_fields
from experiment_framework._config.findings import Span
from experiment_framework._config.nodes import Block, Entry, Items, Node, Scalar, scalars
from experiment_framework._config.secrets import is_reference, is_secret_name
from experiment_framework._config.suggestions import closest

__all__ = ["declared", "slipped", "spans_below", "suspected", "texts_below"]


def suspected(node: Node) -> Iterator[Node]:
    """Give the nodes whose keys look like those of secrets."""
    match node:
        case Items():
            for item in node.items:
                yield from suspected(item)
        case Block():
            for entry in node.entries:
                if is_secret_name(entry.key):
                    yield entry.value
                else:
                    yield from suspected(entry.value)
        case _:
            return


def slipped(node: Node) -> Iterator[str]:
    """Give the keys that may be secrets themselves: `{password, hunter2}`, a comma for a colon."""
    match node:
        case Items():
            for item in node.items:
                yield from slipped(item)
        case Block():
            for before, entry in pairwise(node.entries):
                if is_secret_name(before.key) and _is_nothing(before) and _is_nothing(entry):
                    yield entry.key
            for entry in node.entries:
                yield from slipped(entry.value)
        case _:
            return


def _is_nothing(entry: Entry) -> bool:
    return isinstance(entry.value, Scalar) and entry.value.is_null


def declared(node: Node, options_class: type[Any]) -> Iterator[Node]:
    """Give the nodes that are secret by declaration, or seem to be a misspelt one that is.

    What is declared not to be a secret is left out, whatever its name looks like.
    """
    if not isinstance(node, Block):
        yield from suspected(node)
        return
    fields = {field.key: field for field in option_fields(options_class)}
    for entry in node.entries:
        field = fields.get(entry.key)
        if field is None:
            yield from _undeclared(entry.key, entry.value, fields)
        elif field.metadata.secret:
            yield entry.value
        elif field.nested is not None:
            yield from declared(entry.value, field.nested)
        elif field.each is not None and isinstance(entry.value, Block):
            for each in entry.value.entries:
                yield from declared(each.value, field.each)
        else:
            yield from suspected(entry.value)


def _undeclared(key: str, value: Node, fields: dict[str, OptionField]) -> Iterator[Node]:
    meant = closest(key, fields)
    if is_secret_name(key) or (meant is not None and fields[meant].metadata.secret):
        yield value
    elif meant is not None and (nested := fields[meant].nested) is not None:
        yield from declared(value, nested)
    else:
        yield from suspected(value)


def spans_below(node: Node) -> Iterator[Span]:
    """Give the places of everything below a secret node: keys too, a secret may look like one."""
    match node:
        case Block():
            for entry in node.entries:
                if entry.span is not None:
                    yield entry.span
                yield from spans_below(entry.value)
        case Items():
            for item in node.items:
                yield from spans_below(item)
        case _:
            if node.span is not None:
                yield node.span


def texts_below(node: Node) -> Iterator[str]:
    """Give the texts of everything below a secret node."""
    match node:
        case Block():
            for entry in node.entries:
                yield entry.key
                yield from texts_below(entry.value)
        case _:
            for scalar in scalars(node):
                if not is_reference(scalar.text):
                    yield scalar.text
