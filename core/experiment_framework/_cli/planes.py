"""The data plane that a command works with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
import click
from rich.console import Console

from experiment_framework._cli.logs import logs_to
from experiment_framework._config import Config, load
from experiment_framework._registry.chosen import Chosen, choices_in, without_disks
from experiment_framework._termination import install
from experiment_framework.dataplane import DataPlane
from experiment_framework.dataplane_options import DataPlaneOptions, DeliveryOptions
from experiment_framework.plugin.step import Phase

if TYPE_CHECKING:
    from pathlib import Path

    from experiment_framework._delivery.settlement import OnFailure
    from experiment_framework.dataplane_options import SpoolOptions

__all__ = ["choose_member", "open_plane", "spool_of", "why_no_spool"]

_EVERY_TYPE: Final[dict[str, Any]] = {
    "enable_exposure_events": True,
    "enable_assignment_events": True,
    "enable_outcome_events": True,
    "enable_analysis_signals": True,
    "enable_error_events": True,
}
_MEMBER: Final = "experiment_framework.member"


@contextmanager
def open_plane(
    path: Path,
    *,
    notes: Console | None,
    room_timeout: float | None = None,
    with_spool: bool = False,
    on_failure: OnFailure | None = None,
) -> Iterator[DataPlane]:
    """Open the data plane that a file declares, for the time of a command.

    Args:
        path: The configuration.
        notes: Where warnings that are logged go; None swallows them.
        room_timeout: Seconds that ``publish`` waits for room, whatever ``failureMode`` says; None
            leaves it to the configuration.
        with_spool: Whether the spool that is declared is used: the plane adopts and sends what dead
            processes have left in it. Without it the disk is not touched, and there are no dead
            letters: what is read from them to be published would be added to them without an end.
        on_failure: Given where the plane takes copies of events that were published before: told of
            each one that failed. Switches and sampling have no say then, that was decided when
            they were published; what redacts sees them all.
    """
    config = load(path)
    chosen, options = _part(config)
    plugin, plugin_options = chosen.plugin, chosen.options
    if not with_spool:
        plugin_options = without_disks(plugin_options)
        changes: dict[str, Any] = {"spool": None, "failure_mode": "drop", "dead_letters": None}
        if room_timeout is not None:
            changes |= {"failure_mode": "block", "block_timeout_ms": round(room_timeout * 1000)}
        options = attrs.evolve(options, **changes)  # type: ignore[misc]  # mypy does not see that @options is attrs
    steps = config.steps
    if on_failure is not None:
        steps = tuple(step for step in steps if step.phase >= Phase.REDACT)
        options = attrs.evolve(options, **_EVERY_TYPE)  # type: ignore[misc]  # as above
    hooks = plugin.create(plugin_options)
    if not with_spool:
        hooks = attrs.evolve(hooks, dead_letter=None)
    with (
        _ended_by_sigterm(),
        logs_to(notes),
        DataPlane(hooks, options, steps=steps, encoder=config.encoder) as plane,
    ):
        if on_failure is not None:
            plane._delivery.settlement.tell_failures(on_failure)  # noqa: SLF001  # core's own, too
        yield plane


def spool_of(path: Path) -> SpoolOptions | None:
    """Say which spool a file declares; None where it declares none.

    Raises:
        ConfigError: With every problem in it.
    """
    return _part(load(path))[1].spool


def why_no_spool(path: Path) -> str:
    """Say what to do about a file that declares no spool, or whose member declares none."""
    config = load(path)
    name = click.get_current_context().meta.get(_MEMBER)
    if name is not None:
        return f"the member {name} of {config.source} declares no spool"
    why = f"{config.source} declares no spool: there is no `dataPlane.spool` in it"
    members = choices_in(config.backplane_options)
    having = [name for name in members if getattr(members[name], "spool", None) is not None]
    if not having:
        return why
    return f"{why}. {', '.join(having)} has one of its own: `experiment spool --member {having[0]}`"


def choose_member(name: str | None) -> None:
    """Let this command work with one of several backplanes, as if it were the only one."""
    click.get_current_context().meta[_MEMBER] = name


def _part(config: Config) -> tuple[Chosen, DataPlaneOptions]:
    """Give the backplane that this command works with, and what stands before it."""
    context = click.get_current_context(silent=True)
    name = None if context is None else context.meta.get(_MEMBER)
    whole = Chosen(config.backplane, config.backplane_options)
    if name is None:
        return whole, config.data_plane
    members = choices_in(config.backplane_options)
    if name not in members:
        known = f"there are {', '.join(members)}" if members else "there is one backplane only"
        raise click.UsageError(f"{config.source} has no member called {name!r}: {known}")
    member = members[name]
    fields = attrs.fields_dict(DeliveryOptions)  # type: ignore[arg-type]  # mypy does not see that @options is attrs
    own = {field: getattr(member, field) for field in fields}
    return member.options, attrs.evolve(config.data_plane, **own)  # type: ignore[misc]  # as above


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command inside the block in the ordinary way: what it took is drained."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    restore = install()
    try:
        yield
    finally:
        restore()
