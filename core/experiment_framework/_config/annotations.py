"""Taking annotations apart."""

from __future__ import annotations

import collections.abc
import types
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import attrs
from msgspec import Meta

from experiment_framework._config.core_schema import python_text

__all__ = [
    "arms",
    "bare",
    "bounds",
    "is_annotated",
    "is_list",
    "is_literal",
    "is_mapping",
    "is_options",
    "is_union",
    "item_options",
    "item_type",
    "nested_options",
    "type_text",
]

_LISTS: Final = (list, tuple, collections.abc.Sequence)
_MAPPINGS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_PLURALS: Final = {int: "integers", float: "numbers", str: "strings"}
_WORDS: Final = {bool: "true or false", int: "integer", float: "number", str: "string"}


def is_annotated(annotation: Any) -> bool:
    """Whether it carries bounds or other extras."""
    return get_origin(annotation) is Annotated


def bare(annotation: Any) -> Any:
    """Strip `Annotated`."""
    while is_annotated(annotation):
        annotation = get_args(annotation)[0]
    return annotation


def bounds(annotation: Any) -> tuple[Meta, ...]:
    """Give the bounds that an annotation carries."""
    if not is_annotated(annotation):
        return ()
    return tuple(extra for extra in get_args(annotation)[1:] if isinstance(extra, Meta))


def is_options(annotation: Any) -> bool:
    """Whether it is a class of options."""
    return isinstance(annotation, type) and attrs.has(annotation)


def is_literal(annotation: Any) -> bool:
    """Whether it is a choice of literals."""
    return get_origin(annotation) is Literal


def is_union(annotation: Any) -> bool:
    """Whether it is a union; an optional is one."""
    return get_origin(annotation) in (Union, types.UnionType)


def arms(annotation: Any) -> tuple[Any, ...]:
    """Give the members of a union but None, or the annotation itself."""
    annotation = bare(annotation)
    members = get_args(annotation) if is_union(annotation) else (annotation,)
    return tuple(member for member in members if member is not types.NoneType)


def is_list(annotation: Any) -> bool:
    """Whether it is a list of any length of one type."""
    origin = get_origin(annotation) or annotation
    if origin is tuple:
        arguments = get_args(annotation)
        return not arguments or (len(arguments) == 2 and arguments[1] is Ellipsis)  # noqa: PLR2004  # the type and the dots
    return origin in _LISTS


def is_mapping(annotation: Any) -> bool:
    """Whether it is a mapping of keys that are not declared."""
    return (get_origin(annotation) or annotation) in _MAPPINGS


def item_type(annotation: Any) -> Any:
    """Give the type of a list's items, or a mapping's values."""
    arguments = get_args(annotation)
    if not arguments:
        return Any
    return arguments[1] if is_mapping(annotation) else arguments[0]


def nested_options(annotation: Any) -> type[Any] | None:
    """Give the options class that an annotation is, or has among its members."""
    return next((member for member in map(bare, arms(annotation)) if is_options(member)), None)


def item_options(annotation: Any) -> type[Any] | None:
    """Give the options class that the values of a mapping are."""
    for member in map(bare, arms(annotation)):
        if is_mapping(member) and is_options(bare(item_type(member))):
            found: type[Any] = bare(item_type(member))
            return found
    return None


def type_text(annotation: Any) -> str:
    """Say in words what an annotation takes: ``an integer from 1 to 5`` without the article."""
    members = arms(annotation)
    if len(members) > 1:
        return " or ".join(dict.fromkeys(type_text(member) for member in members))
    (member,) = members
    limits = "".join(_limits(meta, member) for meta in (*bounds(annotation), *bounds(member)))
    return _plain_text(bare(member)) + limits


def _plain_text(annotation: Any) -> str:
    if is_literal(annotation):
        choices = get_args(annotation)
        return ("one of " if len(choices) > 1 else "") + ", ".join(map(python_text, choices))
    if is_list(annotation):
        inner = item_type(annotation)
        return f"list of {_PLURALS.get(inner) or type_text(inner)}"
    if is_mapping(annotation):
        return f"mapping to {type_text(item_type(annotation))}"
    if is_options(annotation):
        return "mapping"
    if isinstance(annotation, type) and annotation is not object:
        return _WORDS.get(annotation, annotation.__name__.lower())
    return "anything"


def _limits(meta: Meta, annotation: Any) -> str:
    is_number = bare(annotation) in (int, float)
    words = []
    if meta.ge is not None and meta.le is not None:
        words.append(f"from {meta.ge} to {meta.le}")
    else:
        words += [f"at least {meta.ge}"] * (meta.ge is not None)
        words += [f"at most {meta.le}"] * (meta.le is not None)
    words += [f"above {meta.gt}"] * (meta.gt is not None)
    words += [f"below {meta.lt}"] * (meta.lt is not None)
    words += [f"a multiple of {meta.multiple_of}"] * (meta.multiple_of is not None)
    words += [f"that matches `{meta.pattern}`"] * (meta.pattern is not None)
    unit = "" if is_number else " characters" if bare(annotation) is str else " of them"
    words += [f"at least {meta.min_length}{unit}"] * (meta.min_length is not None)
    words += [f"at most {meta.max_length}{unit}"] * (meta.max_length is not None)
    return "".join(f" {word}" if word.startswith("from") else f", {word}" for word in words)
