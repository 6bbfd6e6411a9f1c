"""Where the problems stand that a backplane finds between its options."""

from __future__ import annotations

from typing import Any

import msgspec

from experiment_framework._config.core_schema import python_text
from experiment_framework._config.fields import option_fields
from experiment_framework._config.findings import Finding, Related
from experiment_framework._config.nodes import Block, Items, Node
from experiment_framework._problems import Path, Problem, format_path

__all__ = ["place_checked"]


def place_checked(problem: Problem, options: Node, options_class: type[Any]) -> Finding:
    """Make the paths of a problem whole, and find the lines that have to do with it.

    Args:
        problem: What ``check`` found; its paths start at the options.
        options: What was written as the options.
        options_class: What they are; the defaults that were not written are named by it.
    """
    notes = list(problem.notes)
    places: list[Related] = []
    for path in dict.fromkeys((problem.path, *problem.involves)):
        node = find(options, path)
        if node is not None and node.span is not None and path:
            places.append(Related(node.key_span or node.span, "written here"))
            places += node.via
        elif node is None and (default := default_text(options_class, path)) is not None:
            notes.append(f"{format_path(path)} is {default} by default; it was not written")
    whole = msgspec.structs.replace(
        problem,
        path=(*options.path, *problem.path),
        involves=tuple((*options.path, *path) for path in problem.involves),
        notes=tuple(notes),
    )
    if not places:
        return Finding(whole, _nearest(options, problem.path))
    return Finding(whole, places[0].span, tuple(places[1:]))


def find(node: Node, path: Path) -> Node | None:
    """Give the node at a path below a node; None where nothing was written."""
    for part in path:
        if isinstance(node, Block):
            inner = node.get(str(part))
        elif isinstance(node, Items) and isinstance(part, int) and part < len(node.items):
            inner = node.items[part]
        else:
            inner = None
        if inner is None:
            return None
        node = inner
    return node


def default_text(options_class: type[Any], path: Path) -> str | None:
    """Write the default of an option as a person would; None where there is none."""
    for index, part in enumerate(path):
        field = next((f for f in option_fields(options_class) if f.key == part), None)
        if field is None:
            return None
        if index < len(path) - 1:
            if field.nested is None:
                return None
            options_class = field.nested
            continue
        default = field.default()
        if default is None or isinstance(default, bool | int | float | str):
            return "not set" if default is None else python_text(default)
    return None


def _nearest(node: Node, path: Path) -> Any:
    span = node.key_span or node.span
    for length in range(1, len(path) + 1):
        inner = find(node, path[:length])
        if inner is None:
            break
        span = inner.key_span or inner.span or span
    return span
