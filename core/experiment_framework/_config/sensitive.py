"""Which parts of a tree are secret: by declaration, and by their names where nobody declared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from experiment_framework._config.fields import OptionField, option_fields
from experiment_framework._config.findings import Span
from experiment_framework._config.nodes import Block, Entry, Items, Node, Scalar, scalars
from experiment_framework._config.secrets import is_reference, is_secret_name
from experiment_framework._config.suggestions import closest

__all__ = ["declared", "slipped", "spans_below", "suspected", "texts_below"]

_LONGEST_INDENT: Final = 200
_MARK: Final = re.compile(r"[&!]\S+")
_ODD: Final = re.compile(r"[^\w.-]")
_NAMES: Final = re.compile(r"[\w.-]+")


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


def slipped(node: Node, text: str) -> Iterator[Entry]:
    """Give the entries that are secrets by a slip, keys and all: `{password, hunter2}`.

    Args:
        node: Where to look.
        text: The text that it was written in; empty where there is none.
    """
    match node:
        case Items():
            for item in node.items:
                yield from slipped(item, text)
        case Block():
            for before, entry in pairwise((None, *node.entries)):
                if entry is not None and _is_slip(before, entry, text):
                    yield entry
                elif entry is not None:
                    yield from slipped(entry.value, text)
        case _:
            return


def _is_slip(before: Entry | None, entry: Entry, text: str) -> bool:
    if _ODD.search(entry.key) and any(map(is_secret_name, _NAMES.findall(entry.key))):
        return True  # `{password 'hunter2'}`
    if any(map(is_secret_name, _NAMES.findall(_mark(entry, text)))):
        return True  # `{&password: hunter2}`
    if before is None:
        return False
    if is_secret_name(before.key):  # `{password: hunt,er2}`
        if _is_nothing(before) and (_is_nothing(entry) or _are_on_one_line(before, entry, text)):
            return True  # `{password: ,hunter2: x}`
        return _has_no_colon(entry) or _is_explicit(entry, text)
    return _has_no_colon(before) and is_secret_name(before.key + entry.key)  # `{pass,word: …}`


def _mark(entry: Entry, text: str) -> str:
    """Give the anchor or tag that a key is written with."""
    mark = _MARK.match(text, entry.span.start, entry.span.end) if entry.span else None
    return mark[0] if mark else ""


def _is_explicit(entry: Entry, text: str) -> bool:
    """Whether a key is marked as one: a slip may have put the mark into a value."""
    start = entry.span.start if entry.span else 0
    return text[max(start - _LONGEST_INDENT, 0) : start].rstrip().endswith("?")


def _are_on_one_line(before: Entry, entry: Entry, text: str) -> bool:
    first, second = before.span, entry.span
    return first is not None and second is not None and "\n" not in text[first.end : second.start]


def _is_nothing(entry: Entry) -> bool:
    return isinstance(entry.value, Scalar) and entry.value.is_null


def _has_no_colon(entry: Entry) -> bool:
    key, value = entry.span, entry.value.span
    return _is_nothing(entry) and key is not None and value is not None and value.start <= key.end


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
