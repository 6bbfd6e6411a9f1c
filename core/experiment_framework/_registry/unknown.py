"""The error for a plugin that is not there: what it may have meant, and what to install."""

from __future__ import annotations

from importlib import metadata
from typing import Final

from experiment_framework._registry.calling import nearest
from experiment_framework.errors import UnknownPluginError

__all__ = ["unknown"]

_UMBRELLA: Final = "experiment-framework"


def unknown(kind: str, name: str, known: tuple[str, ...]) -> UnknownPluginError:
    """Make the error for a name that nothing has.

    Args:
        kind: ``backplane`` or ``step``.
        name: What was asked for.
        known: All names that there are.
    """
    extras = _extras() if kind == "backplane" else ()
    meant = nearest(name, (*known, *extras))
    if meant in known:
        advice = f"Did you mean '{meant}'?"
    elif meant is not None:
        question = "" if meant == name else f"Did you mean '{meant}'? "
        advice = f"{question}Install it with: pip install '{_UMBRELLA}[{meant}]'"
    else:
        advice = (
            f"Install the distribution that offers it; ours are called {_UMBRELLA}-…, "
            "and `experiment plugins` shows what is found"
        )
    there = f"there are {', '.join(known)}" if known else "none is installed"
    return UnknownPluginError(name, f"no {kind} is called '{name}'; {there}. {advice}")


def _extras() -> tuple[str, ...]:
    # Read from what is installed, so that core need not know which backplanes we publish.
    try:
        found = metadata.metadata(_UMBRELLA)
    except metadata.PackageNotFoundError:
        return ()
    return tuple(extra for extra in found.get_all("Provides-Extra") or () if extra != "all")
