"""What an encoder may get wrong."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

import attrs

from experiment_framework._registry.calling import nearest
from experiment_framework.errors import HookError
from experiment_framework.plugin.encoder import Encoder
from experiment_framework.plugin.options import option_key

__all__ = ["check_encoder"]

_METHODS: Final = ("check", "open", "encode", "decode", "health", "close", "after_fork")
_RESERVED: Final = frozenset({"type", "distribution"})


def check_encoder(target: Any, *, name: str, distribution: str | None = None) -> type[Encoder[Any]]:
    """Check what a name stands for.

    Raises:
        HookError: It does not follow the plugin API; all faults are in the text, one a line.
    """
    faults = tuple(_faults(target))
    if faults:
        origin = f" from {distribution}" if distribution else ""
        raise HookError(
            name,
            "\n".join(f"encoder '{name}'{origin}: {fault}" for fault in faults),
            distribution=distribution,
        )
    encoder: type[Encoder[Any]] = target
    return encoder


def _faults(target: Any) -> Iterator[str]:
    if not (isinstance(target, type) and issubclass(target, Encoder)):
        yield f"{target!r} is no subclass of experiment_framework.plugin.Encoder"
        return
    yield from _method_faults(target)
    options_class = getattr(target, "options_class", None)
    if options_class is None or not attrs.has(options_class):
        yield "it has no options class: derive it from Encoder[MyOptions], made with @options"
        return
    for field in attrs.fields(options_class):
        if option_key(field) in _RESERVED:
            yield f"its options have the key '{option_key(field)}', which says which encoder it is"


def _method_faults(cls: type[Encoder[Any]]) -> Iterator[str]:
    # A static look: a misspelt `decode` would be passed over in silence.
    for name in ("encode", "decode"):
        if getattr(cls, name) is getattr(Encoder, name):
            yield f"it has no method '{name}'"
    for name in dir(cls):
        if name.startswith("_") or hasattr(Encoder, name):
            continue
        static = inspect.getattr_static(cls, name)
        meant = nearest(name, _METHODS)
        if inspect.isfunction(static) and meant:
            yield f"'{name}' is never called; did you mean '{meant}'?"
    for name in _METHODS:
        if inspect.iscoroutinefunction(getattr(cls, name)):
            yield f"'{name}' is an async function, but nothing awaits it; make it a plain one"
