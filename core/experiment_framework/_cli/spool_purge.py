"""``experiment spool purge``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import config_argument, json_option
from experiment_framework._cli.progress import number, progress
from experiment_framework._cli.spool_source import (
    declared_spool,
    size,
    tell_unreadable,
)
from experiment_framework._cli.terminal import clean, errors, print_json
from experiment_framework._delivery.spool.home import remove_orphan
from experiment_framework._delivery.spool.inspection import Inspection, KeptAside
from experiment_framework.errors import SpoolError

__all__ = ["command"]


class Orphan(msgspec.Struct):
    """What a dead process has left, with what it had adopted itself."""

    folder: str
    records: int = 0
    bytes: int = 0


class Purged(msgspec.Struct, rename="camel"):
    """What was deleted.

    Attributes:
        directory: The declared directory.
        folders: The folders that are gone.
        records: How many records were in them.
        bytes: How long their segments were.
        kept_aside_files: How many files of damaged bytes are gone.
        taken_over: Folders that a process has adopted in the meantime: they are untouched.
        left: Why the others are there still, at least in part.
        unreadable: Folders and files that could not be read: what they are in is untouched.
    """

    directory: str
    folders: list[str] = msgspec.field(default_factory=list)
    records: int = 0
    bytes: int = 0
    kept_aside_files: int = 0
    taken_over: list[str] = msgspec.field(default_factory=list)
    left: list[str] = msgspec.field(default_factory=list)
    unreadable: list[str] = msgspec.field(default_factory=list)


@click.command(
    epilog=exit_codes(failed="not all was deleted or could be read, or the answer was no")
)
@config_argument
@click.option("--corrupt", is_flag=True, help="Delete damaged bytes that were kept aside, too.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def command(ctx: click.Context, config: Path, *, corrupt: bool, yes: bool, as_json: bool) -> None:
    """Delete what processes that are dead have left, for good.

    Their records are never delivered then: `experiment spool export` copies them first. What
    belongs to processes that run stays, and so does a folder in which anything cannot be read or is
    no file of a spool.
    """
    inspection = Inspection(declared_spool(config).directory)
    directory = inspection.directory
    orphans = _orphans(inspection)
    aside = inspection.kept_aside() if corrupt else []
    is_partial = tell_unreadable(inspection)
    if not yes and (orphans or aside) and not _is_confirmed(directory, orphans, aside):
        click.echo("nothing was deleted", err=True)
        ctx.exit(1)
    purged = _purge(directory, orphans, aside)
    purged.unreadable = inspection.unreadable
    if as_json:
        print_json(purged)
    else:
        _show(purged)
    for reason in purged.left:
        errors().print(clean(reason), style="yellow")
    ctx.exit(1 if purged.left or is_partial else 0)


def _orphans(inspection: Inspection) -> list[Orphan]:
    """Find what dead processes have left, as far as all of it can be read."""
    found: dict[str, Orphan] = {}
    for folder in inspection.folders():
        if folder.is_alive:
            continue
        outer = Path(folder.name).parts[0]
        orphan = found.setdefault(outer, Orphan(outer))
        for view in inspection.segments(folder):
            orphan.records += view.records
            orphan.bytes += view.size
    return [
        orphan
        for name, orphan in found.items()
        if inspection.could_read(inspection.directory / name)
    ]


def _is_confirmed(directory: Path, orphans: list[Orphan], aside: list[KeptAside]) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on; --yes deletes without asking")
    records = sum(orphan.records for orphan in orphans)
    length = sum(orphan.bytes for orphan in orphans)
    click.echo(
        f"{number(records)} records of {number(len(orphans))} dead processes, {size(length)}, and "
        f"{number(len(aside))} files of damaged bytes in {directory}",
        err=True,
    )
    return click.confirm("Delete them for good?", err=True)


def _purge(directory: Path, orphans: list[Orphan], aside: list[KeptAside]) -> Purged:
    purged = Purged(str(directory))
    with progress("deleting", len(orphans), unit="folders") as advance:
        for orphan in orphans:
            try:
                _remove(directory, orphan, purged)
            except SpoolError as error:
                purged.left.append(str(error))
            advance(1)
    for file in aside:
        try:
            file.path.unlink(missing_ok=True)
        except OSError as error:
            purged.left.append(f"{file.path}: {error.strerror}")
        else:
            purged.kept_aside_files += 1
    return purged


def _remove(directory: Path, orphan: Orphan, purged: Purged) -> None:
    if remove_orphan(directory, orphan.folder):
        purged.folders.append(orphan.folder)
        purged.records += orphan.records
        purged.bytes += orphan.bytes
    else:
        purged.taken_over.append(orphan.folder)


def _show(purged: Purged) -> None:
    click.echo(
        f"{number(purged.records)} records of {number(len(purged.folders))} dead processes "
        f"deleted, {size(purged.bytes)}"
    )
    if purged.kept_aside_files:
        click.echo(f"{number(purged.kept_aside_files)} files of damaged bytes deleted")
    if purged.taken_over:
        click.echo(f"taken over meanwhile, and untouched: {', '.join(purged.taken_over)}")
