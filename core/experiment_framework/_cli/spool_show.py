"""``experiment spool show``."""

from __future__ import annotations

import itertools
from pathlib import Path

import click

from experiment_framework._cli.choosing import choosing_options
from experiment_framework._cli.event_line import event_line
from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import config_argument, json_option
from experiment_framework._cli.progress import number
from experiment_framework._cli.spool_source import (
    RecordReader,
    declared_spool,
    is_read_at_once,
    tell_unreadable,
)
from experiment_framework._cli.terminal import clean, console, errors
from experiment_framework._delivery.spool.inspection import Inspection, Waiting
from experiment_framework.envelope import decode
from experiment_framework.errors import DecodeError
from experiment_framework.plugin.backplane import Query

__all__ = ["command"]


@click.command(epilog=exit_codes(failed="records, or folders or files, cannot be read"))
@config_argument
@choosing_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    config: Path,
    *,
    query: Query,
    limit: int | None,
    as_json: bool,
) -> None:
    """Print the records that wait, oldest first, and where each lies.

    With --json each line is an envelope: `experiment publish` reads them.
    """
    out, notes = console(), errors()
    inspection = Inspection(declared_spool(config).directory)
    reader = RecordReader(inspection, is_quiet=is_read_at_once())
    records = reader.records(query)
    count = 0
    for count, waiting in enumerate(itertools.islice(records, limit), 1):  # noqa: B007  # counted to its end
        if as_json:
            click.echo(waiting.record.body)
            continue
        try:
            out.print(event_line(decode(waiting.record.body), waiting.place), soft_wrap=True)
        except DecodeError as error:
            notes.print(_unshowable(waiting, error), style="yellow")
    if not count:
        notes.print("there are no such records", style="dim")
    if reader.lost:
        notes.print(f"{number(reader.lost)} records cannot be read", style="yellow")
    is_partial = tell_unreadable(inspection)
    ctx.exit(1 if reader.lost or is_partial else 0)


def _unshowable(waiting: Waiting, error: DecodeError) -> str:
    return f"{clean(waiting.place)}: cannot be shown: {clean(str(error))}"
