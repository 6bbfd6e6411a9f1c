"""The plugins that are installed, found in one scan and not loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any, Final

import attrs

from experiment_framework.errors import (
    DuplicatePluginError,
    PluginError,
    UnknownPluginError,
)

__all__ = ["BACKPLANES", "GROUPS", "STEPS", "Installed", "choices", "choose", "scan"]

BACKPLANES: Final = "experiment_framework.backplanes"
STEPS: Final = "experiment_framework.plugins"
GROUPS: Final = {"backplane": BACKPLANES, "step": STEPS}


@attrs.frozen
class Installed:
    """One entry point of one distribution.

    Attributes:
        entry_point: What to load; it knows its group, name and value.
    """

    entry_point: metadata.EntryPoint

    @property
    def name(self) -> str:
        """The name that a configuration selects it by."""
        return self.entry_point.name

    @property
    def kind(self) -> str:
        """``backplane`` or ``step``."""
        return next(kind for kind, group in GROUPS.items() if group == self.entry_point.group)

    @property
    def distribution(self) -> str:
        """The name of the distribution that it belongs to."""
        found = self.entry_point.dist
        return found.name if found else "an unknown distribution"

    @property
    def version(self) -> str:
        """That distribution's version."""
        found = self.entry_point.dist
        return found.version if found else "unknown"

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"

    def load(self) -> Any:
        """Import what the entry point names."""
        return self.entry_point.load()


def scan() -> dict[str, dict[str, tuple[Installed, ...]]]:
    """Read the entry points of all distributions once: by group, then by name."""
    found: dict[str, dict[str, tuple[Installed, ...]]] = {}
    everything = metadata.entry_points()
    for group in GROUPS.values():
        names = found.setdefault(group, {})
        for entry_point in sorted(everything.select(group=group), key=lambda each: each.name):
            names[entry_point.name] = (*names.get(entry_point.name, ()), Installed(entry_point))
    return found


def choices(environ: Mapping[str, str]) -> dict[str, str]:
    """Read ``EXPERIMENT_FRAMEWORK_PLUGINS``: ``kafka=my-distribution,file=another``.

    Raises:
        PluginError: It is written in another form.
    """
    chosen: dict[str, str] = {}
    for item in environ.get("EXPERIMENT_FRAMEWORK_PLUGINS", "").split(","):
        name, equals, distribution = (part.strip() for part in item.partition("="))
        if not item.strip():
            continue
        if not (name and equals and distribution):
            raise PluginError(
                name,
                f"EXPERIMENT_FRAMEWORK_PLUGINS has {item.strip()!r}; "
                "it takes NAME=DISTRIBUTION, several with commas between them",
            )
        chosen[name] = distribution
    return chosen


def choose(candidates: tuple[Installed, ...], wanted: str | None) -> Installed:
    """Pick the one distribution that is to provide a plugin.

    Args:
        candidates: All that offer it; at least one.
        wanted: The distribution asked for; None to take the only one.

    Raises:
        UnknownPluginError: None of them belongs to the distribution asked for.
        DuplicatePluginError: There are several, and none was asked for.
    """
    first = candidates[0]
    origins = ", ".join(str(candidate) for candidate in candidates)
    if wanted is not None:
        for candidate in candidates:
            if _normalized(candidate.distribution) == _normalized(wanted):
                return candidate
        raise UnknownPluginError(
            first.name,
            f"distribution '{wanted}' offers no {first.kind} '{first.name}'; {origins} does",
            distribution=wanted,
        )
    if len(candidates) > 1:
        raise DuplicatePluginError(
            first.name,
            f"{first.kind} '{first.name}' is claimed by {len(candidates)} distributions: "
            f"{origins}. {_ways_to_choose(first, candidates)}",
        )
    return first


def _ways_to_choose(first: Installed, candidates: Iterable[Installed]) -> str:
    names = " or ".join(candidate.distribution for candidate in candidates)
    switch = f"the environment EXPERIMENT_FRAMEWORK_PLUGINS={first.name}=…"
    if first.kind == "backplane":
        switch = f"`distribution: …` beside `type: {first.name}`, or {switch}"
    return f"Say which ({names}) with {switch}, or uninstall the other"


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
