"""How an implementation of a hook is called with the arguments of its specification."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable
from typing import Any, Final

import attrs

from experiment_framework.plugin.hookspecs import PROJECT, BackplaneHooks

__all__ = ["HOOKS", "Call", "nearest", "parameters_of"]


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Give a function's parameters; their annotations need not mean anything at run time."""
    if sys.version_info >= (3, 14):
        # By default its annotations would be evaluated, and what only a type checker imports is
        # not there.
        from annotationlib import Format

        signature = inspect.signature(function, annotation_format=Format.STRING)
    else:
        signature = inspect.signature(function)
    return list(signature.parameters.values())


HOOKS: Final[dict[str, tuple[str, ...]]] = {
    name: tuple(parameter.name for parameter in parameters_of(function)[1:])
    for name, function in vars(BackplaneHooks).items()
    if hasattr(function, f"{PROJECT}_spec")
}
"""The names of all hooks, each with the names of its arguments."""

_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIABLE: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def nearest(name: str, known: tuple[str, ...]) -> str | None:
    """Give the known name that a misspelt one most probably means, if any comes close."""
    lowered = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


@attrs.frozen
class Call:
    """Which arguments of a specification an implementation takes, and how.

    Attributes:
        specified: The names of the specification's arguments, in order.
        positional: Those that the implementation takes by position, in its order.
        keywords: Those that it takes by keyword.
        faults: What is wrong with the implementation's other arguments.
    """

    specified: tuple[str, ...]
    positional: tuple[str, ...]
    keywords: tuple[str, ...]
    faults: tuple[str, ...]

    @classmethod
    def of(cls, specified: tuple[str, ...], parameters: list[inspect.Parameter]) -> Call:
        """Match an implementation's parameters with a specification."""
        positional: list[str] = []
        keywords: list[str] = []
        for parameter in parameters:
            if parameter.name in specified:
                by_position = parameter.kind in _POSITIONAL and len(positional) == parameters.index(
                    parameter
                )
                (positional if by_position else keywords).append(parameter.name)
        taken = {*positional, *keywords}
        missing = tuple(name for name in specified if name not in taken)
        kinds = {parameter.kind for parameter in parameters}
        if inspect.Parameter.VAR_KEYWORD in kinds:
            keywords += missing
        elif inspect.Parameter.VAR_POSITIONAL in kinds and not keywords:
            positional += missing
        faults = tuple(
            fault
            for parameter in parameters
            if parameter.name not in specified and parameter.kind not in _VARIABLE
            if (fault := _fault(parameter, specified, missing))
        )
        return cls(specified, tuple(positional), tuple(keywords), faults)

    def adapt(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Make what is called with exactly the specified arguments, by position.

        An implementation that takes them all in order is given back as it is: a direct call.
        """
        if self.positional == self.specified and not self.keywords:
            return function
        positional, keywords, specified = self.positional, self.keywords, self.specified

        def adapted(*values: object) -> Any:
            given = dict(zip(specified, values, strict=True))
            return function(
                *[given[name] for name in positional], **{name: given[name] for name in keywords}
            )

        return adapted


def _fault(
    parameter: inspect.Parameter, specified: tuple[str, ...], missing: tuple[str, ...]
) -> str | None:
    # An argument with a default is the implementation's own business, unless it looks like a
    # misspelt one: then it would silently never be given.
    meant = nearest(parameter.name, missing)
    if parameter.default is not inspect.Parameter.empty and meant is None:
        return None
    suggestion = f"; did you mean '{meant}'?" if meant else ""
    takes = ", ".join(specified) or "nothing"
    return f"takes '{parameter.name}', but the hook gives {takes}{suggestion}"
