"""``experiment spool ls``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.text import Text

from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import config_argument, json_option
from experiment_framework._cli.progress import number, progress
from experiment_framework._cli.spool_source import (
    age_of,
    declared_spool,
    size,
    tell_unreadable,
)
from experiment_framework._cli.terminal import clean, console, print_json, print_table, table
from experiment_framework._delivery.spool.inspection import Folder, Inspection, KeptAside

__all__ = ["Row", "command", "rows_of"]


class Row(msgspec.Struct, frozen=True, rename="camel"):
    """What is in the folder of one process."""

    folder: str
    process_id: int
    alive: bool
    segments: int
    records: int
    bytes: int
    oldest: datetime | None
    oldest_age_seconds: float | None
    corrupt: int


@click.command(
    short_help="List what waits, and of which processes.",
    epilog=exit_codes(failed="the directory, or folders or files in it, cannot be read"),
)
@config_argument
@json_option
@click.pass_context
def command(ctx: click.Context, config: Path, *, as_json: bool) -> None:
    """List the folder of each process: whether it runs, and what waits there.

    Corrupt is how many damaged stretches were found so far and kept aside; `experiment spool
    verify` looks for them.
    """
    inspection = Inspection(declared_spool(config).directory)
    aside = inspection.kept_aside()
    rows = rows_of(inspection, aside)
    if as_json:
        print_json(_document(inspection, rows, aside))
    else:
        _show(inspection, rows, aside)
    ctx.exit(1 if tell_unreadable(inspection) else 0)


def _show(inspection: Inspection, rows: list[Row], aside: list[KeptAside]) -> None:
    made = table("Folder", "Process", "Segments", "Records", "Size", "Oldest", "Corrupt")
    for row in rows:
        made.add_row(
            clean(row.folder),
            Text(f"{row.process_id} {_state(alive=row.alive)}", style=_style(alive=row.alive)),
            number(row.segments),
            number(row.records),
            size(row.bytes),
            age_of(row.oldest),
            number(row.corrupt),
        )
    out = console()
    if rows:
        print_table(out, made)
    out.print(f"{number(sum(row.records for row in rows))} records in {inspection.directory}")
    if aside:
        kept = sum(file.size for file in aside)
        out.print(
            f"{number(len(aside))} damaged stretches kept aside, {size(kept)}", style="yellow"
        )


def rows_of(inspection: Inspection, aside: list[KeptAside]) -> list[Row]:
    """Look at every folder.

    Raises:
        SpoolError: The directory cannot be read.
    """
    folders = inspection.folders()
    with progress("looking", len(folders), unit="folders") as advance:
        rows = []
        for folder in folders:
            rows.append(_row(inspection, folder, aside))
            advance(1)
    return rows


def _row(inspection: Inspection, folder: Folder, aside: list[KeptAside]) -> Row:
    views = list(inspection.segments(folder))
    oldest = next((moment for view in views if (moment := view.oldest())), None)
    age = None
    if oldest is not None:
        age = max(round((datetime.now(UTC) - oldest).total_seconds(), 3), 0.0)
    return Row(
        folder=folder.name,
        process_id=folder.process_id,
        alive=folder.is_alive,
        segments=len(views),
        records=sum(view.records for view in views),
        bytes=sum(view.size for view in views),
        oldest=oldest,
        oldest_age_seconds=age,
        corrupt=sum(file.folder == folder.path.name for file in aside),
    )


def _document(inspection: Inspection, rows: list[Row], aside: list[KeptAside]) -> dict[str, object]:
    return {
        "directory": str(inspection.directory),
        "folders": rows,
        "records": sum(row.records for row in rows),
        "bytes": sum(row.bytes for row in rows),
        "keptAside": {"files": len(aside), "bytes": sum(file.size for file in aside)},
        "unreadable": inspection.unreadable,
    }


def _state(*, alive: bool) -> str:
    return "running" if alive else "dead"


def _style(*, alive: bool) -> str:
    return "green" if alive else "yellow"
