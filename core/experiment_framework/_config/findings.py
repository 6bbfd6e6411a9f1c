"""Problems on their way from where they are found to where they are shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from experiment_framework._problems import Path, Problem

__all__ = ["NOTHING", "Finding", "Refusal", "Related", "Span"]

NOTHING: Final[Any] = object()


class Span(msgspec.Struct, frozen=True):
    """A part of the source text, as offsets."""

    start: int
    end: int


class Related(msgspec.Struct, frozen=True):
    """Another place that a problem has to do with, and what stands there."""

    span: Span
    label: str


class Finding(msgspec.Struct, frozen=True):
    """A problem and the places in the source that show it.

    Attributes:
        problem: The problem, its location not filled in yet.
        span: Where it is.
        related: Further places to show.
        spoils: The path that has no right value because of it, where that is not the problem's.
    """

    problem: Problem
    span: Span | None = None
    related: tuple[Related, ...] = ()
    spoils: Path | None = None


class Refusal(Exception):  # noqa: N818  # becomes a ConfigError where all are known
    """What cannot be converted, and why.

    Attributes:
        findings: Every reason.
        partial: The value with defaults in place of what is wrong, where one could be made.
    """

    def __init__(self, findings: Iterable[Finding], partial: Any = NOTHING) -> None:
        self.findings = list(findings)
        self.partial = partial
        super().__init__("; ".join(finding.problem.message for finding in self.findings))
