"""What a plugin may get wrong about the hooks, all of it at once."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

from experiment_framework._registry.calling import HOOKS, nearest
from experiment_framework._registry.faults import refuse_faulty
from experiment_framework._registry.implementations import (
    Implementation,
    find_implementations,
    is_backplane,
    marker,
)

__all__ = ["check_hooks"]

# Only these may be generators: what they give is iterated.
_ITERATED: Final = frozenset({"check", "provision", "read"})


def check_hooks(target: object, *, name: str, distribution: str | None = None) -> None:
    """Check everything that can be known of a class, an instance or a module without running it.

    Raises:
        HookError: It does not follow the plugin API; the text has all faults, one a line.
    """
    found = find_implementations(target)
    faults = [fault for implementation in found for fault in _faults(implementation)]
    faults += _unusable(target, {implementation.attribute for implementation in found})
    if not faults:
        faults += _ways_to_deliver({each.hook for each in found if not each.is_wrapper})
    refuse_faulty("backplane", name, faults, distribution)


def _faults(implementation: Implementation) -> Iterator[str]:
    hook = implementation.hook
    if hook not in HOOKS:
        if not implementation.marks.get("optionalhook"):
            yield _no_such_hook(implementation)
        return
    for fault in implementation.call.faults:
        yield f"hook '{hook}' {fault}"
    # Through a static or class method, to the function that says what it is.
    function = inspect.unwrap(getattr(implementation.function, "__func__", implementation.function))
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        yield f"hook '{hook}' is an async function, but nothing awaits it; make it a plain one"
    elif (
        inspect.isgeneratorfunction(function)
        and hook not in _ITERATED
        and not implementation.is_wrapper
    ):
        yield f"hook '{hook}' is a generator, but nothing iterates it, so it would do nothing"


def _no_such_hook(implementation: Implementation) -> str:
    name, hook = implementation.attribute, implementation.hook
    if meant := nearest(hook, tuple(HOOKS)):
        return f"'{hook}' is no hook; did you mean '{meant}'?"
    return f"'{hook}' is no hook; they are {', '.join(HOOKS)}. What is none is called '_{name}'"


def _unusable(target: object, implemented: set[str]) -> Iterator[str]:
    """Find what has the name of a hook and would never be called."""
    for name in HOOKS:
        if name in implemented:
            continue
        static = inspect.getattr_static(_owner(target), name, None)
        if is_backplane(target):
            if static is not None:
                yield f"'{name}' is a hook and has to be a method, not {_kind(static)}"
        elif _is_own_function(target, static) and marker(static) is None:
            yield f"'{name}' has the name of a hook but is not marked; put @hookimpl before it"


def _owner(target: object) -> object:
    return type(target) if is_backplane(target) and not isinstance(target, type) else target


def _kind(static: object) -> str:
    article = "an" if type(static).__name__[0] in "aeiou" else "a"
    return f"{article} {type(static).__name__}"


def _is_own_function(target: object, static: Any) -> bool:
    # A module may well import a function called `open`; that is nobody's hook.
    return inspect.isfunction(static) and (
        not inspect.ismodule(target) or static.__module__ == target.__name__
    )


def _ways_to_deliver(hooks: set[str]) -> Iterator[str]:
    if {"publish", "write_batch"} <= hooks:
        yield "it has both 'publish' and 'write_batch'; keep the one that fits its client"
    elif not {"publish", "write_batch"} & hooks:
        yield "it can take no records: it has neither 'publish' nor 'write_batch'"
