"""What a person may say about a backplane made of several, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from experiment_framework._problems import Problem
from experiment_framework._registry.chosen import BackplaneChoice
from experiment_framework.dataplane_options import FailureModes, check_delivery
from experiment_framework.plugin.options import option, options

__all__ = ["CompositeOptions", "MemberOptions", "check_composite"]


@options
class MemberOptions(BackplaneChoice):
    """One of several backplanes, with a queue, a failure mode and a disk of its own."""

    required: bool = option(
        default=True,
        help="Whether an event counts as delivered only when this member has it. What happens to "
        "one that is not required shows in its own accounts and in health, and nowhere else.",
    )
    event_types: (
        Annotated[
            list[Literal["Exposure", "Assignment", "Outcome", "AnalysisSignal", "Error"]],
            Meta(min_length=1),
        ]
        | None
    ) = option(default=None, help="The types of the events that it gets; by default all.")
    experiments: Annotated[list[str], Meta(min_length=1)] | None = option(
        default=None,
        help="The experiments whose events it gets; by default all, and those without one.",
    )

    def check(self) -> Iterator[Problem]:
        """Find contradictions between the options of this member."""
        yield from check_delivery(self)
        modes = self.failure_mode
        written = (
            [(("failureMode",), modes)]
            if not isinstance(modes, FailureModes)
            else [(("failureMode", key), getattr(modes, name)) for name, key in _MODE_KEYS.items()]
        )
        for path, mode in written:
            if mode == "block":
                yield Problem(
                    message="a member cannot make `publish` wait: the others would wait with it",
                    path=path,
                    found="block",
                    expected="one of drop, spool",
                    suggestion="Use `spool`, or a larger `maxQueueSize`.",
                )


_MODE_KEYS = {
    "default": "default",
    "exposures": "exposures",
    "assignments": "assignments",
    "outcomes": "outcomes",
    "analysis_signals": "analysisSignals",
    "errors": "errors",
}


@options
class CompositeOptions:
    """Options of the composite backplane."""

    members: Annotated[
        dict[str, MemberOptions],
        Meta(
            min_length=1,
            examples=[{"events": {"type": "file", "options": {"path": "experiment-events.jsonl"}}}],
        ),
    ] = option(
        help="The backplanes by name, in any order. Each has its own queue and its own thread."
    )
    read_from: str | None = option(
        default=None,
        help="The member that events are read back from; by default the first one that can.",
    )


def check_composite(chosen: CompositeOptions) -> Iterator[Problem]:
    """Find contradictions between members."""
    members = chosen.members or {}  # none where something is wrong with one of them
    folders: dict[Path, str] = {}
    for name, member in members.items():
        if member.spool is None:
            continue
        other = folders.setdefault(member.spool.directory.absolute(), name)
        if other != name:
            yield Problem(
                message=f"`{other}` and `{name}` would take each other's records from one spool",
                path=("members", name, "spool", "directory"),
                found=str(member.spool.directory),
                suggestion="Give each member a folder of its own.",
                involves=(
                    ("members", name, "spool", "directory"),
                    ("members", other, "spool", "directory"),
                ),
            )
    if members and chosen.read_from is not None and chosen.read_from not in members:
        yield Problem(
            message="there is no such member",
            path=("readFrom",),
            found=chosen.read_from,
            expected=f"one of {', '.join(members)}",
        )
