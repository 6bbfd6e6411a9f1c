"""One health out of those of several backplanes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiment_framework._composite.lane import Lane
from experiment_framework.health import Health

__all__ = ["joined_health"]


def joined_health(lanes: Sequence[Lane], unopened: Mapping[str, str]) -> Health:
    """Join the health of members.

    Args:
        lanes: The members.
        unopened: Why others, which are not required, could not be opened.
    """
    unhealthy: list[str] = []
    degraded = [f"{name}: {reason}" for name, reason in unopened.items()]
    members: dict[str, Any] = {
        name: {"status": "UNHEALTHY", "required": False} for name in unopened
    }
    details: dict[str, Any] = {}
    for lane in lanes:
        found = lane.delivery.health()
        is_decisive = lane.is_required and found.status == "UNHEALTHY"
        reasons = unhealthy if is_decisive else degraded
        reasons += [f"{lane.name}: {reason}" for reason in found.reasons]
        members[lane.name] = {
            "status": found.status,
            "required": lane.is_required,
            **found.details,
        }
        if lane.is_required:
            details |= _of_all(details, found.details)
    return Health.judge(
        unhealthy=tuple(unhealthy), degraded=tuple(degraded), details=details | {"members": members}
    )


def _of_all(known: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    """Take over what is asked of a backplane as a whole: the worst of its required members."""
    worst: dict[str, Any] = {}
    if details.get("answered") is False:
        worst["answered"] = False
    if details.get("needsRestart") is True:
        worst["needsRestart"] = True
    for key in ("queueFill", "oldestPendingAgeSeconds"):
        value = details.get(key)
        if isinstance(value, int | float):
            worst[key] = max(value, known.get(key, value))
    return worst
