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
from experiment_framework._cli.spool_source import age_of, declared_spool, size
from experiment_framework._cli.terminal import clean, console, print_json, print_table, table
from experiment_framework._delivery.spool.inspection import (
    Folder,
    KeptAside,
    folders_in,
    kept_aside,
    segments_of,
)

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


@click.command(epilog=exit_codes(failed="the directory cannot be read"))
@config_argument
@json_option
def command(config: Path, *, as_json: bool) -> None:
    """List the folder of each process: whether it runs, and what waits there.

    Corrupt is how many damaged stretches were found so far and kept aside; `experiment spool
    verify` looks for them.
    """
    directory = declared_spool(config).directory
    aside = kept_aside(directory)
    rows = rows_of(directory, aside)
    if as_json:
        print_json(_document(directory, rows, aside))
        return
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
    out.print(f"{number(sum(row.records for row in rows))} records in {directory.absolute()}")
    if aside:
        kept = sum(file.size for file in aside)
        out.print(
            f"{number(len(aside))} damaged stretches kept aside, {size(kept)}", style="yellow"
        )


def rows_of(directory: Path, aside: list[KeptAside]) -> list[Row]:
    """Look at every folder.

    Raises:
        SpoolError: The directory cannot be read.
    """
    folders = folders_in(directory)
    with progress("looking", len(folders), unit="folders") as advance:
        rows = []
        for folder in folders:
            rows.append(_row(folder, aside))
            advance(1)
    return rows


def _row(folder: Folder, aside: list[KeptAside]) -> Row:
    views = list(segments_of(folder))
    oldest = next((moment for view in views if (moment := view.oldest())), None)
    age = None
    if oldest is not None:
        age = round((datetime.now(UTC) - oldest).total_seconds(), 3)
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


def _document(directory: Path, rows: list[Row], aside: list[KeptAside]) -> dict[str, object]:
    return {
        "directory": str(directory.absolute()),
        "folders": rows,
        "records": sum(row.records for row in rows),
        "bytes": sum(row.bytes for row in rows),
        "keptAside": {"files": len(aside), "bytes": sum(file.size for file in aside)},
    }


def _state(*, alive: bool) -> str:
    return "running" if alive else "dead"


def _style(*, alive: bool) -> str:
    return "green" if alive else "yellow"
