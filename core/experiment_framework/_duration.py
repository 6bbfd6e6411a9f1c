"""Lengths of time as a person says them."""

from __future__ import annotations

from typing import Final

__all__ = ["in_words"]

_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def in_words(seconds: float) -> str:
    """Write a number of seconds in the unit of which there are two at least."""
    for length, unit in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s"
