"""What the commands for a spool share: where it is, and what is in it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click
from rich.filesize import decimal
from rich.text import Text

from experiment_framework._cli.planes import spool_of, why_no_spool
from experiment_framework._cli.progress import number, progress
from experiment_framework._cli.terminal import clean, errors
from experiment_framework._delivery.spool.inspection import (
    Damage,
    Inspection,
    SegmentView,
    Waiting,
)
from experiment_framework._duration import in_words
from experiment_framework.plugin.backplane import Query

if TYPE_CHECKING:
    from pathlib import Path

    from experiment_framework.dataplane_options import SpoolOptions

__all__ = [
    "RecordReader",
    "age_of",
    "declared_spool",
    "is_read_at_once",
    "size",
    "tell_unreadable",
]

_SHOWN: Final = 20
"""Of damages, and of what cannot be read, at most."""


def declared_spool(config: Path) -> SpoolOptions:
    """Read which spool a configuration declares.

    Raises:
        ConfigError: With every problem in it.
        click.UsageError: It declares none.
    """
    spool = spool_of(config)
    if spool is None:
        raise click.UsageError(why_no_spool(config))
    return spool


def is_read_at_once() -> bool:
    """Say whether somebody may see what is printed while it is: a terminal, or a pipe's reader.

    A pager and a progress bar would write over each other.
    """
    try:
        return not stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):  # a stream of a test, or one that was closed
        return True


class RecordReader:
    """Reads the records of a spool that wait, oldest first; notes what is damaged.

    Args:
        inspection: Of the spool.
        is_quiet: Show no progress: what is read may go to the terminal at the same time.

    Attributes:
        lost: How many records that wait turned out to be unreadable.
    """

    def __init__(self, inspection: Inspection, *, is_quiet: bool) -> None:
        views = (view for folder in inspection.folders() for view in inspection.segments(folder))
        self.lost = 0
        self._is_quiet = is_quiet
        self._views = [view for view in views if view.records]
        self._notes = errors()
        self._damages = 0

    def records(self, query: Query) -> Iterator[Waiting]:
        """Give those that are asked for."""
        total = sum(view.size for view in self._views)
        with progress("reading", total, is_quiet=self._is_quiet) as advance:
            for view in self._views:
                yield from self._records_of(view, query)
                advance(view.size)

    def _records_of(self, view: SegmentView, query: Query) -> Iterator[Waiting]:
        for item in view.contents():
            if isinstance(item, Damage):
                self._note(item)
            elif query.matches(item.record):
                yield item
        self.lost += view.lost

    def _note(self, damage: Damage) -> None:
        self._damages += 1
        if self._damages > _SHOWN:
            return
        place = clean(f"{damage.segment}@{damage.start}")
        text = f"{place}: {damage.end - damage.start} bytes skipped: {_KINDS[damage.kind]}"
        self._notes.print(Text(text, style="yellow"))


_KINDS: Final = {
    "unreadable": "no record can be read there",
    "cutShort": "a write that was cut short",
    "noEnvelope": "it is no envelope",
}


def tell_unreadable(inspection: Inspection) -> bool:
    """Say which folders and files could not be read; False where all could."""
    unreadable = inspection.unreadable
    if not unreadable:
        return False
    notes = errors()
    for text in unreadable[:_SHOWN]:
        notes.print(clean(text), style="yellow")
    notes.print(f"{number(len(unreadable))} folders or files cannot be read", style="yellow")
    return True


def size(count: int) -> str:
    """Write a number of bytes for a person."""
    return decimal(count)


def age_of(moment: datetime | None) -> str:
    """Say how long ago something was, for a person."""
    if moment is None:
        return "-"
    return in_words(max((datetime.now(UTC) - moment).total_seconds(), 0.0))
