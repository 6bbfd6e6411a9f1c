"""The data plane that a command works with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
from rich.console import Console

from experiment_framework._cli.logs import logs_to
from experiment_framework._config import load
from experiment_framework._termination import install
from experiment_framework.dataplane import DataPlane

if TYPE_CHECKING:
    from pathlib import Path

    from experiment_framework.dataplane_options import SpoolOptions

__all__ = ["open_plane", "spool_of"]


@contextmanager
def open_plane(
    path: Path,
    *,
    notes: Console | None,
    room_timeout: float | None = None,
    with_spool: bool = False,
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
    """
    config = load(path)
    options = config.data_plane
    hooks = config.backplane.create(config.backplane_options)
    if not with_spool:
        hooks = attrs.evolve(hooks, dead_letter=None)
        changes: dict[str, Any] = {"spool": None, "failure_mode": "drop", "dead_letters": None}
        if room_timeout is not None:
            changes |= {"failure_mode": "block", "block_timeout_ms": round(room_timeout * 1000)}
        options = attrs.evolve(options, **changes)  # type: ignore[misc]  # mypy does not see that @options is attrs
    with (
        _ended_by_sigterm(),
        logs_to(notes),
        DataPlane(hooks, options, steps=config.steps) as plane,
    ):
        yield plane


def spool_of(path: Path) -> SpoolOptions | None:
    """Say which spool a file declares; None where it declares none.

    Raises:
        ConfigError: With every problem in it.
    """
    return load(path).data_plane.spool


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
