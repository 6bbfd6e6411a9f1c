"""What somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

__all__ = ["closest"]

# Comparing takes quadratic time, and nobody misspells a name into a paragraph.
_LONGEST: Final = 100


def closest(written: str, known: Iterable[str]) -> str | None:
    """Give the known name that is most like the one written; case and separators count little."""
    names = {_plain(name): name for name in known}
    if len(written) > _LONGEST:
        return None
    plain = _plain(written)
    if plain in names:
        return names[plain]
    matches = difflib.get_close_matches(plain, names, n=1, cutoff=0.6)
    return names[matches[0]] if matches else None


def _plain(name: str) -> str:
    return "".join(char for char in name.lower() if char.isalnum()) or name
