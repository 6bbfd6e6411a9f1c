"""What an encoder may get wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs

from experiment_framework._registry.faults import method_faults, refuse_faulty
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
    refuse_faulty("encoder", name, _faults(target), distribution)
    encoder: type[Encoder[Any]] = target
    return encoder


def _faults(target: Any) -> Iterator[str]:
    if not (isinstance(target, type) and issubclass(target, Encoder)):
        yield f"{target!r} is no subclass of experiment_framework.plugin.Encoder"
        return
    yield from method_faults(target, Encoder, required=("encode", "decode"), methods=_METHODS)
    options_class = getattr(target, "options_class", None)
    if options_class is None or not attrs.has(options_class):
        yield "it has no options class: derive it from Encoder[MyOptions], made with @options"
        return
    for field in attrs.fields(options_class):
        if option_key(field) in _RESERVED:
            yield f"its options have the key '{option_key(field)}', which says which encoder it is"
