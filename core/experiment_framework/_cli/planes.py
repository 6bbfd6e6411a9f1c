"""The data plane that a command works with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
from rich.console import Console

from experiment_framework._cli.logs import logs_to
from experiment_framework._config import load
from experiment_framework._termination import install
from experiment_framework.dataplane import DataPlane

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["open_plane"]


@contextmanager
def open_plane(
    path: Path, *, notes: Console | None, room_timeout: float | None = None
) -> Iterator[DataPlane]:
    """Open the data plane that a file declares, for the time of a command.

    Args:
        path: The configuration.
        notes: Where warnings that are logged go; None swallows them.
        room_timeout: Seconds that ``publish`` waits for room, whatever ``failureMode`` says; None
            leaves it to the configuration.
    """
    config = load(path)
    options = config.data_plane
    if room_timeout is not None:
        options = attrs.evolve(  # type: ignore[misc]  # mypy does not see that @options is attrs
            options, failure_mode="block", block_timeout_ms=round(room_timeout * 1000)
        )
    hooks = config.backplane.create(config.backplane_options)
    with (
        _ended_by_sigterm(),
        logs_to(notes),
        DataPlane(hooks, options, steps=config.steps) as plane,
    ):
        yield plane


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
