"""Which member of a union a value is meant for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from experiment_framework._config.annotations import (
    bare,
    is_list,
    is_literal,
    is_mapping,
    is_options,
)
from experiment_framework._config.findings import Refusal
from experiment_framework._config.nodes import Instance, Items, Node, Scalar, to_python
from experiment_framework._config.scalars import HOOKS, to_literal

__all__ = ["fitting_member", "is_unset"]


def is_unset(node: Node, members: Sequence[Any]) -> bool:
    """Whether a node is nothing at all, for a union that has None."""
    if not isinstance(node, Scalar):
        return False
    if node.is_null:
        return True
    # An empty variable cannot be a number; an empty string it can be.
    return bool(node.variables) and not node.text and str not in map(bare, members)


def fitting_member(node: Node, members: Sequence[Any]) -> Any | None:
    """Give the member that a value is meant for, by its kind; None where there is none."""
    if isinstance(node, Instance):
        fitting = [m for m in members if is_options(bare(m)) and isinstance(node.value, bare(m))]
    elif isinstance(node, Scalar):
        fitting = _of_scalar(node, members)
    elif isinstance(node, Items):
        fitting = [m for m in members if is_list(bare(m))]
    else:
        fitting = [m for m in members if is_mapping(bare(m)) or is_options(bare(m))]
    return fitting[0] if fitting else None


def _of_scalar(node: Scalar, members: Sequence[Any]) -> list[Any]:
    of_scalars = [m for m in members if bare(m) in HOOKS or is_literal(bare(m))]
    if len(of_scalars) <= 1:
        return of_scalars or [m for m in members if is_list(bare(m)) or is_options(bare(m))]
    literals = [m for m in of_scalars if is_literal(bare(m)) and _chooses(node, bare(m))]
    value = to_python(node)
    if node.variables and str not in map(bare, of_scalars):
        value = to_python(msgspec.structs.replace(node, plain=True, variables=()))
    wanted = (
        (type(value), float) if isinstance(value, int) and value is not True else (type(value),)
    )
    exact = [m for kind in wanted for m in of_scalars if bare(m) is kind]
    texts = [m for m in of_scalars if bare(m) in (str, Path)]
    return literals or exact or texts


def _chooses(node: Scalar, annotation: Any) -> bool:
    try:
        to_literal(node, annotation)
    except Refusal:
        return False
    return True
