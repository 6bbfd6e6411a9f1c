"""``experiment spool replay``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec
from rich.text import Text

from experiment_framework._cli.ending import Ending
from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import config_argument, json_option, timeout_option
from experiment_framework._cli.planes import open_plane
from experiment_framework._cli.progress import number, progress
from experiment_framework._cli.spool_source import declared_spool, tell_unreadable
from experiment_framework._cli.terminal import console, errors, facts, print_json, print_table
from experiment_framework._delivery.spool.inspection import Inspection

if TYPE_CHECKING:
    from experiment_framework.dataplane import DataPlane

__all__ = ["command"]

_SLICE: Final = 0.2
"""Seconds between two looks at how far it is."""

_CLOSE_TIMEOUT: Final = 1.0
"""Seconds; what had no fate by then has been waited for already, and stays on disk."""


class Summary(msgspec.Struct, kw_only=True, rename="camel"):
    """What became of the records.

    ``recovered = delivered + failed + all of dropped + remaining``.

    Attributes:
        recovered: Records of dead processes that were taken over.
        delivered: Those that arrived.
        failed: Those that will never arrive.
        dropped: Those that could not be sent, by reason.
        remaining: Those that wait on disk still, for the next replay or process.
        running: Records that running processes have; they send them themselves.
        unreadable: Folders and files that could not be read.
    """

    recovered: int = 0
    delivered: int = 0
    failed: int = 0
    dropped: dict[str, int] = msgspec.field(default_factory=dict)
    remaining: int = 0
    running: int = 0
    unreadable: list[str] = msgspec.field(default_factory=list)

    @property
    def is_success(self) -> bool:
        """Whether everything that was there has arrived."""
        return not (self.failed or self.dropped or self.remaining or self.unreadable)


@click.command(
    epilog=exit_codes(
        done="all were delivered",
        failed="records were not delivered, or folders or files cannot be read",
    )
)
@config_argument
@timeout_option(60.0, text="Longest wait for all to be delivered.")
@json_option
@click.pass_context
def command(ctx: click.Context, config: Path, *, timeout: float, as_json: bool) -> None:
    """Send what dead processes have left to the backplane of FILE.

    Records keep their event ids. What is not delivered in time stays on disk. Records of processes
    that run are left to them.
    """
    inspection = Inspection(declared_spool(config).directory)
    orphaned, running = _waiting(inspection)
    unreadable = inspection.unreadable
    summary = Summary(remaining=orphaned, running=running, unreadable=unreadable)
    ending = Ending()
    if orphaned:
        with ending.contained():
            _replay(config, summary, timeout)
    if as_json:
        print_json(summary)
    else:
        _show(summary, f"not delivered in {timeout:g} s" if not ending.is_early else "interrupted")
    tell_unreadable(inspection)
    ctx.exit(ending.exit_code(is_success=summary.is_success))


def _waiting(inspection: Inspection) -> tuple[int, int]:
    """Count the records of dead and of running processes."""
    counts = [0, 0]
    for folder in inspection.folders():
        counts[folder.is_alive] += sum(view.records for view in inspection.segments(folder))
    return counts[0], counts[1]


def _replay(config: Path, summary: Summary, timeout: float) -> None:
    with open_plane(config, notes=errors(), with_spool=True) as plane:
        try:
            _send(plane, timeout)
        finally:
            _finish(plane, summary)


def _send(plane: DataPlane, timeout: float) -> None:
    """Wait until everything has its fate, or the time is over."""
    deadline = time.monotonic() + timeout
    with progress("sending", plane.stats().recovered, unit="records") as advance:
        step = _Steps(advance)
        while (left := deadline - time.monotonic()) > 0:
            result = plane.flush(min(_SLICE, left))
            step.to(result.delivered + result.failed + result.dropped)
            if not (result.pending or result.spooled):
                return


class _Steps:
    """Turns a sum into the steps by which it grows."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance = advance
        self._sum = 0

    def to(self, total: int) -> None:
        self._advance(total - self._sum)
        self._sum = total


def _finish(plane: DataPlane, summary: Summary) -> None:
    try:
        plane.close(_CLOSE_TIMEOUT)
    finally:  # Ctrl-C: what has become of them is told all the same
        stats = plane.stats()
        summary.recovered = stats.recovered
        summary.delivered = stats.delivered
        summary.failed = stats.failed
        summary.dropped = stats.dropped
        summary.remaining = stats.spooled + stats.pending


def _show(summary: Summary, why: str) -> None:
    rows = {"taken over": number(summary.recovered), "delivered": number(summary.delivered)}
    if summary.failed:
        rows["failed"] = number(summary.failed)
    for reason, count in summary.dropped.items():
        rows[f"dropped, {reason}"] = number(count)
    if summary.remaining:
        rows["remaining"] = f"{number(summary.remaining)}  on disk, {why}"
    if summary.running:
        rows["left alone"] = f"{number(summary.running)}  of processes that run"
    print_table(console(), facts({name: Text(text) for name, text in rows.items()}))
