"""From nodes to options: a cattrs converter that is strict and collects what is wrong.

Its hooks take nodes and raise `Refusal`; none of cattrs' own scalar hooks is ever used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, get_args, get_origin

import msgspec
from cattrs import Converter

from experiment_framework._config import scalars
from experiment_framework._config.annotations import (
    arms,
    bare,
    bounds,
    is_annotated,
    is_list,
    is_literal,
    is_mapping,
    is_options,
    is_union,
    item_type,
    type_text,
)
from experiment_framework._config.blocks import Gathering, block_of, separated
from experiment_framework._config.choosing import gather_choice, is_choice
from experiment_framework._config.fields import OptionField
from experiment_framework._config.findings import Finding, Refusal
from experiment_framework._config.nodes import (
    Block,
    Entry,
    Instance,
    Items,
    Node,
    Scalar,
    refuse,
    to_python,
)
from experiment_framework._config.unions import fitting_member, is_unset
from experiment_framework.errors import HookError

__all__ = ["convert", "convert_field"]

_Hook: TypeAlias = Callable[[Any, Any], Any]


def convert(node: Node, annotation: Any) -> Any:
    """Convert a node to what an annotation says.

    Raises:
        Refusal: With everything that is wrong in it.
        HookError: The annotation is none that options may have.
    """
    return _converter.structure(node, annotation)


def convert_field(field: OptionField, node: Node) -> Any:
    """Convert the value of one option.

    Raises:
        Refusal: With everything that is wrong in it.
        HookError: It is declared with a type that no option can have; the message names the option.
    """
    try:
        return convert(separated(field, node), field.type)
    except HookError as error:
        raise HookError(field.name, f"option '{field.name}': {error}") from error


def _guarded(hook: _Hook) -> _Hook:
    """Let what is known to be broken through in silence, and a right instance as it is."""

    def guarded(node: Any, annotation: Any) -> Any:
        if isinstance(node, Scalar) and node.broken:
            raise Refusal(())
        return hook(node, annotation)

    return guarded


def _structure_options(node: Node, annotation: Any) -> Any:
    options_class = bare(annotation)
    if isinstance(node, Instance) and isinstance(node.value, options_class):
        return node.value
    if is_choice(options_class):
        return gather_choice(node, options_class, convert_field)
    return Gathering(block_of(node, options_class), options_class, convert_field).finish()


def _structure_annotated(annotation: Any) -> _Hook:
    inner = bare(annotation)
    metas = bounds(annotation)
    hook = _converter.get_structure_hook(inner)

    def structure(node: Node, _: Any) -> Any:
        value = hook(node, annotation)
        if value is not None and not all(_within(value, meta) for meta in metas):
            raise refuse(
                node,
                "outside of what is allowed",
                found=scalars.described(node)
                if not isinstance(node, Items | Block)
                else f"{len(value)} entries",
                expected=type_text(annotation),
            )
        return value

    return structure


def _within(value: Any, meta: msgspec.Meta) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (
            (meta.ge is None or value >= meta.ge)
            and (meta.gt is None or value > meta.gt)
            and (meta.le is None or value <= meta.le)
            and (meta.lt is None or value < meta.lt)
            and (meta.multiple_of is None or value % meta.multiple_of == 0)
        )
    if isinstance(value, str | list | tuple | dict):
        return (
            (meta.min_length is None or len(value) >= meta.min_length)
            and (meta.max_length is None or len(value) <= meta.max_length)
            and (
                meta.pattern is None
                or not isinstance(value, str)
                or re.search(meta.pattern, value) is not None
            )
        )
    return True


def _structure_list(annotation: Any) -> _Hook:
    inner = item_type(annotation)
    hook = _converter.get_structure_hook(inner)
    make = list if bare(get_origin(annotation) or annotation) is list else tuple

    def structure(node: Node, declared: Any) -> Any:
        if not isinstance(node, Items):
            advice = "Write it as a list: `[a, b]`." if isinstance(node, Scalar) else None
            raise scalars.mistaken(node, declared, advice)
        return make(_all((item, hook, inner) for item in node.items))

    return structure


def _structure_mapping(annotation: Any) -> _Hook:
    inner = item_type(annotation)
    hook = _converter.get_structure_hook(inner)
    key_type = (*get_args(annotation), Any)[0]
    key_hook = _converter.get_structure_hook(key_type)

    def structure_key(entry: Entry, _: Any) -> Any:
        node = Scalar(text=entry.key, plain=False, path=entry.value.path, span=entry.span)
        return key_hook(node, key_type)

    def structure(node: Node, declared: Any) -> Any:
        if isinstance(node, Scalar) and node.is_null:
            return {}
        if not isinstance(node, Block):
            raise scalars.mistaken(node, declared)
        entries = list(node.without_extensions())
        pairs = _all(
            [(entry, structure_key, None) for entry in entries]
            + [(entry.value, hook, inner) for entry in entries]
        )
        return dict(zip(pairs[: len(entries)], pairs[len(entries) :], strict=True))

    return structure


def _all(wanted: Iterable[tuple[Any, _Hook, Any]]) -> list[Any]:
    values: list[Any] = []
    findings: list[Finding] = []
    refused = False
    for node, hook, annotation in wanted:
        try:
            values.append(hook(node, annotation))
        except Refusal as refusal:
            refused = True
            findings.extend(refusal.findings)
    if refused:
        raise Refusal(findings)
    return values


def _structure_union(annotation: Any) -> _Hook:
    members = arms(annotation)
    is_optional = len(members) < len(get_args(annotation))
    hooks = {member: _converter.get_structure_hook(member) for member in members}

    def structure(node: Node, declared: Any) -> Any:
        if is_optional and is_unset(node, members):
            return None
        member = fitting_member(node, members)
        if member is None:
            raise scalars.mistaken(node, declared)
        return hooks[member](node, member)

    return structure


def _structure_anything(node: Node, _: Any) -> Any:
    return to_python(node)


def _is_anything(annotation: object) -> bool:
    return annotation in (Any, object)


def _unsupported(annotation: Any) -> _Hook:
    name = getattr(annotation, "__name__", str(annotation))
    raise HookError(
        name,
        f"an option cannot be of the type {annotation!r}; it can be a str, int, float, bool, Path "
        "or Literal, a list or dict of those, or a class made with @options",
    )


def _make_converter() -> Converter:
    converter = Converter()
    for is_meant, factory in (
        (lambda _: True, _unsupported),
        (_is_anything, lambda _: _structure_anything),
        (is_options, lambda _: _structure_options),
        (is_list, _structure_list),
        (is_mapping, _structure_mapping),
        (is_literal, lambda _: scalars.to_literal),
        (is_union, _structure_union),
        (is_annotated, _structure_annotated),
    ):
        converter.register_structure_hook_factory(
            is_meant, lambda t, factory=factory: _guarded(factory(t))
        )
    for scalar, hook in scalars.HOOKS.items():
        converter.register_structure_hook(scalar, _guarded(hook))
    return converter


_converter: Final = _make_converter()
