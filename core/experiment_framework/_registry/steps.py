"""What a pipeline step may get wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs

from experiment_framework._registry.faults import method_faults, refuse_faulty
from experiment_framework.plugin.options import option_key
from experiment_framework.plugin.step import Phase, Step

__all__ = ["check_step"]

_METHODS: Final = ("apply", "is_active")


def check_step(target: Any, *, key: str, distribution: str | None = None) -> type[Step[Any]]:
    """Check what a key stands for.

    Raises:
        HookError: It does not follow the plugin API; all faults are in the text, one a line.
    """
    refuse_faulty("step", key, _faults(target, key), distribution)
    step: type[Step[Any]] = target
    return step


def _faults(target: Any, key: str) -> Iterator[str]:
    if not (isinstance(target, type) and issubclass(target, Step)):
        yield f"{target!r} is no subclass of experiment_framework.plugin.Step"
        return
    yield from method_faults(target, Step, required=("apply",), methods=_METHODS)
    if not isinstance(getattr(target, "phase", None), Phase):
        yield f"it has no phase: say `phase = Phase.…`, one of {', '.join(Phase.__members__)}"
    options_class = getattr(target, "options_class", None)
    if options_class is None or not attrs.has(options_class):
        yield "it has no options class: derive it from Step[MyOptions], made with @options"
        return
    keys = tuple(option_key(field) for field in attrs.fields(options_class))
    if key not in keys:
        yield f"its options have no field for this key; they have {', '.join(keys) or 'none'}"
