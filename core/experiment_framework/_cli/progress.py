"""How far a work is, on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from experiment_framework._cli.terminal import errors

__all__ = ["number", "progress"]

_BETWEEN: Final = 0.1
"""Seconds between two updates: what is drawn more often costs more than the work."""


@contextmanager
def progress(
    text: str, total: int | None, unit: str = "bytes", *, is_quiet: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far a work is; gives the function that moves the bar on.

    Args:
        text: What is being done.
        total: How much there is; None where nobody knows: then the bar only says that it goes on.
        unit: What is counted.
        is_quiet: Show nothing.
    """
    notes = errors()
    show = decimal if unit == "bytes" else number
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]}"),
        TimeElapsedColumn(),
        console=notes,
        transient=True,
        disable=is_quiet or not notes.is_terminal,
    )
    task = bar.add_task(text, total=total or None, done="")
    done, shown = 0, 0.0
    of = "" if total is None else f" of {show(total)}"
    suffix = "" if unit == "bytes" else f" {unit}"

    def update() -> None:
        bar.update(task, completed=done, done=f"{show(done)}{of}{suffix}")

    def advance(step: int) -> None:
        nonlocal done, shown
        done += step
        if (now := time.monotonic()) - shown > _BETWEEN:
            shown = now
            update()

    with bar:
        update()
        yield advance
        update()


def number(count: int) -> str:
    """Write a count for a person."""
    return f"{count:,}"
