"""Faults of a plugin that is a class, and how they are told."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator

from experiment_framework._registry.calling import nearest
from experiment_framework.errors import HookError

__all__ = ["method_faults", "refuse_faulty"]


def refuse_faulty(kind: str, name: str, faults: Iterable[str], distribution: str | None) -> None:
    """Raise all faults as one error, if there are any.

    Raises:
        HookError: There are; the text has them one a line.
    """
    found = tuple(faults)
    if found:
        origin = f" from {distribution}" if distribution else ""
        raise HookError(
            name,
            "\n".join(f"{kind} '{name}'{origin}: {fault}" for fault in found),
            distribution=distribution,
        )


def method_faults(
    cls: type, base: type, *, required: Iterable[str], methods: tuple[str, ...]
) -> Iterator[str]:
    """Find what is wrong with the methods of a class that is derived from one of ours.

    A static look: a misspelt method would be passed over in silence.
    """
    for name in required:
        if getattr(cls, name) is getattr(base, name):
            yield f"it has no method '{name}'"
    for name in dir(cls):
        if name.startswith("_") or hasattr(base, name):
            continue
        static = inspect.getattr_static(cls, name)
        meant = nearest(name, methods)
        if inspect.isfunction(static) and meant:
            yield f"'{name}' is never called; did you mean '{meant}'?"
    for name in methods:
        if inspect.iscoroutinefunction(getattr(cls, name)):
            yield f"'{name}' is an async function, but nothing awaits it; make it a plain one"
