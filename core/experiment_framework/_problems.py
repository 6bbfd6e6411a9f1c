"""What is wrong with a configuration, as data."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

__all__ = ["Location", "Path", "Problem", "format_path"]

Path: TypeAlias = tuple[str | int, ...]


class Location(msgspec.Struct, frozen=True):
    """Where something stands in a configuration file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong with a configuration.

    Attributes:
        message: What is wrong, in one sentence.
        path: Keys and list positions from where the reporter stands; the loader makes it whole.
        found: What was written, masked where it is a secret.
        expected: What would have been right.
        suggestion: What to do about it.
        involves: Paths of all options that take part in a contradiction, ``path`` among them.
        location: Where it stands, for a configuration that was read from text.
        notes: Further lines to show, such as where else a part of the contradiction stands.
    """

    message: str
    path: Path = ()
    found: str | None = None
    expected: str | None = None
    suggestion: str | None = None
    involves: tuple[Path, ...] = ()
    location: Location | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = ": ".join(
            part
            for part in (
                str(self.location) if self.location else "",
                format_path(self.path),
                self.message,
            )
            if part
        )
        details = [
            f"{label}: {text}"
            for label, text in (("found", self.found), ("expected", self.expected))
            if text
        ]
        if details:
            head += f" ({'; '.join(details)})"
        if self.suggestion:
            head += f". {self.suggestion}"
        return head


def format_path(path: Path) -> str:
    """Write a path as a person would: ``dataPlane.backplane.options.brokers[1]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
