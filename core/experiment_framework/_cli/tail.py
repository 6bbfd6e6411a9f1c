"""``experiment tail``."""

from __future__ import annotations

import itertools
from contextlib import closing
from typing import TYPE_CHECKING

import click
import msgspec

from experiment_framework._cli.choosing import choosing_options
from experiment_framework._cli.event_line import event_line
from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import config_argument, json_option
from experiment_framework._cli.planes import open_plane
from experiment_framework._cli.terminal import clean, console, errors
from experiment_framework.envelope import decode
from experiment_framework.errors import DecodeError
from experiment_framework.plugin.backplane import Query, Stored

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from experiment_framework.dataplane import DataPlane

__all__ = ["command"]


@click.command(epilog=exit_codes(failed="the backplane cannot be read"))
@config_argument
@choosing_options
@click.option("--from-start", is_flag=True, help="Begin with the oldest event that is kept.")
@click.option(
    "--no-follow",
    is_flag=True,
    help="Print what is there and stop; in order within each file or partition.",
)
@json_option
def command(
    config: Path,
    *,
    query: Query,
    limit: int | None,
    from_start: bool,
    no_follow: bool,
    as_json: bool,
) -> None:
    """Follow the events of the backplane that FILE declares, where it can be read.

    With --json each line is an envelope as it is stored: `experiment publish` reads them.
    """
    wanted = msgspec.structs.replace(
        query, follow=not no_follow, from_start=from_start or no_follow
    )
    show = _show_json if as_json else _Lines().show
    notes = errors()
    with open_plane(config, notes=notes) as plane:
        records = _records(plane, wanted)
        if wanted.follow and console().is_terminal:
            notes.print("following; Ctrl-C stops", style="dim")
        count = 0
        with closing(records):
            for count, stored in enumerate(itertools.islice(records, limit), 1):  # noqa: B007  # counted to its end
                show(stored)
    if not count:
        notes.print("there are no such events", style="dim")


def _records(plane: DataPlane, query: Query) -> Generator[Stored]:
    """Read, and end the reading when this is closed, where it can be ended."""
    yield from plane.read(query)


def _show_json(stored: Stored) -> None:
    try:
        line = msgspec.json.format(stored.body, indent=-1)
    except msgspec.DecodeError as error:
        _note(stored, f"no JSON: {error}")
        return
    click.echo(line)


class _Lines:
    """Prints one line an event, for a person."""

    def __init__(self) -> None:
        self._console = console()

    def show(self, stored: Stored) -> None:
        try:
            envelope = decode(stored.body)
        except DecodeError as error:
            _note(stored, str(error))
            return
        self._console.print(event_line(envelope, stored.place), soft_wrap=True)
        self._console.file.flush()


def _note(stored: Stored, reason: str) -> None:
    errors().print(f"{clean(stored.place)}: skipped: {clean(reason)}", style="yellow")
