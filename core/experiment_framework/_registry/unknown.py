"""The error for a plugin that is not there: what it may have meant, and what to install."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from types import MappingProxyType
from typing import Final

from experiment_framework._registry.calling import nearest
from experiment_framework._registry.containment import contained
from experiment_framework._registry.entry_points import Installed
from experiment_framework.errors import PluginError, UnknownPluginError

__all__ = ["unknown"]

_UMBRELLA: Final = "experiment-framework"
_EXTRA: Final = re.compile(
    rf"""{_UMBRELLA}-(?P<type>[\w-]+)(?:\[.*\])?[^;]*(?:;\s*extra\s*==\s*['"](?P<extra>.+)['"])?"""
)
"""A requirement of ours: a distribution is called as the type of its backplane is."""


def unknown(
    kind: str,
    name: str,
    known: tuple[str, ...],
    *,
    hints: Mapping[str, Sequence[Installed]] = MappingProxyType({}),
) -> UnknownPluginError:
    """Make the error for a name that nothing has.

    Args:
        kind: ``backplane``, ``step`` or ``encoder``.
        name: What was asked for.
        known: All names that there are.
        hints: Where installed distributions say what other names mean.
    """
    extras = _extras() if kind == "backplane" else {}
    meant = nearest(name, (*known, *extras)) or _begun_with(name, extras)
    hint = _hint(name, hints)
    if hint is not None:
        advice = hint
    elif meant in known:
        advice = f"Did you mean '{meant}'?"
    elif meant is not None:
        type_ = extras[meant]
        question = "" if type_ == name else f"Did you mean '{type_}'? "
        advice = f"{question}Install it with: pip install '{_UMBRELLA}[{meant}]'"
    else:
        advice = (
            f"Install the distribution that offers it; ours are called {_UMBRELLA}-…, "
            "and `experiment plugins` shows what is found"
        )
    there = f"there are {', '.join(known)}" if known else "none is installed"
    return UnknownPluginError(name, f"no {kind} is called '{name}'; {there}. {advice}")


def _hint(name: str, hints: Mapping[str, Sequence[Installed]]) -> str | None:
    """Give what a distribution says about a name, whatever its case."""
    for hinted, origins in hints.items():
        if hinted.lower() != name.lower():
            continue
        for origin in origins:
            try:
                with contained("hint", hinted, origin.distribution, "when it was loaded"):
                    text = origin.load()
            except PluginError:  # the name is unknown with or without it
                continue
            if isinstance(text, str):
                return text
    return None


def _begun_with(name: str, extras: Mapping[str, str]) -> str | None:
    """Give the extra that a longer name begins with, such as ``sql`` for ``sqlServer``."""
    begun = [extra for extra in extras if name.lower().startswith(extra)]
    return max(begun, key=len, default=None)


def _extras() -> dict[str, str]:
    """Give the extras that bring a backplane, each with its type: ``postgresql`` brings ``sql``."""
    # Read from what is installed, so that core need not know which backplanes we publish.
    try:
        required = metadata.requires(_UMBRELLA) or ()
    except metadata.PackageNotFoundError:
        return {}
    matches = [match for each in required if (match := _EXTRA.fullmatch(each))]
    always = {match["type"] for match in matches if match["extra"] is None}
    return {
        match["extra"]: match["type"]
        for match in matches
        if match["extra"] not in (None, "all") and match["type"] not in always
    }
