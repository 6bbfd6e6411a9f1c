"""The plugins that are installed, found in one scan and not loaded."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any, Final

import attrs

from experiment_framework.errors import (
    DuplicatePluginError,
    PluginError,
    UnknownPluginError,
)

__all__ = [
    "BACKPLANES",
    "ENCODERS",
    "GROUPS",
    "HINTS",
    "STEPS",
    "Installed",
    "choices",
    "choose",
    "scan",
]

_logger: Final = logging.getLogger("experiment_framework.plugins")

BACKPLANES: Final = "experiment_framework.backplanes"
STEPS: Final = "experiment_framework.plugins"
ENCODERS: Final = "experiment_framework.encoders"
GROUPS: Final = {"backplane": BACKPLANES, "step": STEPS, "encoder": ENCODERS}

HINTS: Final = "experiment_framework.backplane_hints"
"""Names that are no backplane's, each with a text that says which one is meant, and how."""

_SCANNED: Final = (*GROUPS.values(), HINTS)


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
        """``backplane``, ``step`` or ``encoder``."""
        return next(kind for kind, group in GROUPS.items() if group == self.entry_point.group)

    @property
    def distribution(self) -> str:
        """The name of the distribution that it belongs to."""
        return self._metadata("Name") or "an unnamed distribution"

    @property
    def version(self) -> str:
        """That distribution's version."""
        return self._metadata("Version") or "of unknown version"

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"

    def load(self) -> Any:
        """Import what the entry point names."""
        return self.entry_point.load()

    def _metadata(self, field: str) -> str | None:
        try:
            return self.entry_point.dist.metadata[field] if self.entry_point.dist else None
        except Exception:  # noqa: BLE001  # its file may be damaged or gone; the plugin may work
            return None


def scan() -> dict[str, dict[str, tuple[Installed, ...]]]:
    """Read the entry points of all distributions once: by group, then by name."""
    found: dict[str, dict[str, tuple[Installed, ...]]] = {}
    for group, entry_points in _entry_points_by_group().items():
        names = found.setdefault(group, {})
        for entry_point in sorted(entry_points, key=lambda each: each.name):
            names[entry_point.name] = (*names.get(entry_point.name, ()), Installed(entry_point))
    return found


def _entry_points_by_group() -> dict[str, list[metadata.EntryPoint]]:
    try:
        everything = metadata.entry_points()
        return {group: list(everything.select(group=group)) for group in _SCANNED}
    except Exception:  # noqa: BLE001  # whatever a damaged file makes of the standard library
        readable = list(_readable_entry_points())
        return {group: [each for each in readable if each.group == group] for group in _SCANNED}


def _readable_entry_points() -> Iterator[metadata.EntryPoint]:
    """Go through the distributions one by one, so that a damaged one spoils no other."""
    seen: set[str] = set()
    for distribution in metadata.distributions():
        try:
            name = _normalized(distribution.metadata["Name"] or "")
            points = () if name in seen else distribution.entry_points
            seen.add(name)
        except Exception as error:  # noqa: BLE001  # as above
            _logger.warning("passed over %s: its metadata cannot be read: %s", distribution, error)
        else:
            yield from points


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
    if first.kind != "step":
        switch = f"`distribution: …` beside `type: {first.name}`, or {switch}"
    return f"Say which ({names}) with {switch}, or uninstall the other"


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
