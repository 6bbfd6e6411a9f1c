"""Which hooks a plugin implements, found without running any of its code."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from experiment_framework._registry.calling import HOOKS, Call, parameters_of
from experiment_framework.plugin.backplane import Backplane
from experiment_framework.plugin.hookspecs import PROJECT

__all__ = ["Implementation", "find_implementations", "is_backplane", "marker"]

_MARKER: Final = f"{PROJECT}_impl"


@attrs.frozen
class Implementation:
    """A function of a plugin that is, or claims to be, the implementation of a hook.

    Attributes:
        attribute: The function's name in the plugin.
        hook: The name of the hook; not necessarily one that exists.
        function: The function as it is found in the plugin.
        marks: What ``@hookimpl`` was given.
        parameters: The function's parameters without ``self``.
    """

    attribute: str
    hook: str
    function: Any
    marks: Mapping[str, Any]
    parameters: list[inspect.Parameter]

    @property
    def is_wrapper(self) -> bool:
        """Whether it runs around implementations instead of being one."""
        return bool(self.marks.get("wrapper") or self.marks.get("hookwrapper"))

    @property
    def call(self) -> Call:
        """How it is called; only for a hook that exists."""
        return Call.of(HOOKS[self.hook], self.parameters)


def is_backplane(target: object) -> bool:
    """Whether something is a `Backplane` or a subclass of it."""
    return issubclass(target if isinstance(target, type) else type(target), Backplane)


def find_implementations(target: object) -> tuple[Implementation, ...]:
    """Find what a class, an instance or a module implements.

    On a `Backplane` that is every public method; a class method only where it has the name of a
    hook, because otherwise it is another constructor. Elsewhere it is what ``@hookimpl`` marks.
    """
    if is_backplane(target):
        return tuple(_public_methods(target if isinstance(target, type) else type(target)))
    return tuple(
        _implementation(target, name, found, marks)
        for name in dir(target)
        if (found := _function(target, name)) and (marks := marker(found)) is not None
    )


def marker(function: object) -> Mapping[str, Any] | None:
    """Give what ``@hookimpl`` left on a function; None for one without it."""
    marks = getattr(function, _MARKER, None)
    if marks is None:
        marks = getattr(getattr(function, "__func__", None), _MARKER, None)
    return marks if isinstance(marks, dict) else None


def _public_methods(cls: type) -> Iterator[Implementation]:
    for name in dir(cls):
        if name.startswith("_") or name in vars(Backplane):
            continue
        found = _function(cls, name)
        if found is None:
            continue
        marks = marker(found)
        if isinstance(found, classmethod) and name not in HOOKS and marks is None:
            continue
        yield _implementation(cls, name, found, marks or {})


def _function(target: object, name: str) -> Any | None:
    static = inspect.getattr_static(target, name, None)
    kinds = (types.FunctionType, types.MethodType, staticmethod, classmethod)
    return static if isinstance(static, kinds) else None


def _implementation(
    target: object, name: str, found: Any, marks: Mapping[str, Any]
) -> Implementation:
    parameters = parameters_of(getattr(target, name))
    if isinstance(target, type) and isinstance(found, types.FunctionType):
        parameters = parameters[1:]
    return Implementation(name, marks.get("specname") or name, found, marks, parameters)
