"""``experiment copy``."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from experiment_framework._cli.choosing import choosing_options
from experiment_framework._cli.copy_place import mark_of, places_of
from experiment_framework._cli.copy_progress import ResumeFile
from experiment_framework._cli.copy_source import CopySource
from experiment_framework._cli.copying import Copier, Summary, count
from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import json_option, timeout_option
from experiment_framework._cli.planes import open_plane
from experiment_framework._cli.progress import number, progress
from experiment_framework._cli.rejects import RejectFile, RejectReport, default_path
from experiment_framework._cli.terminal import (
    clean,
    console,
    errors,
    facts,
    print_json,
    print_table,
)
from experiment_framework._config import load
from experiment_framework.errors import ExperimentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiment_framework.plugin.backplane import Query, Stored

__all__ = ["command"]

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    epilog=exit_codes(done="everything was copied", failed="some events were not copied")
)
@click.argument("source", metavar="FROM", type=_file)
@click.argument("target", metavar="TO", type=_file)
@choosing_options
@click.option("--follow", is_flag=True, help="Go on with what is published meanwhile.")
@click.option(
    "--resume",
    "resume_path",
    metavar="PATH",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep in this file how far the copy is, and go on from there where the file is there: "
    "after an interruption, or for what is new.",
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where events go that cannot be copied. [default: FROM.rejects.jsonl; never over an "
    "earlier one]",
)
@click.option("--dry-run", is_flag=True, help="Count what would be copied, and copy nothing.")
@timeout_option(60.0, text="Longest wait for room, and for delivery.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    source: Path,
    target: Path,
    *,
    query: Query,
    limit: int | None,
    follow: bool,
    resume_path: Path | None,
    rejects: Path | None,
    dry_run: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Copy the events of one backplane to another.

    FROM and TO are configurations; the backplane of FROM has to be one that can be read. Events
    keep their ids, times, correlation ids and metadata. Those that TO has already it gets again,
    unless it knows them by their ids: --resume avoids that.

    Switches and sampling of TO have no say: that was decided when the events were published.
    """
    if follow and (dry_run or query.until is not None):
        raise click.UsageError("--follow does not end: it goes with neither --until nor --dry-run")
    resume = _checked(source, target, resume_path, query)
    began = time.monotonic()
    with ExitStack() as stack:
        notes = errors()
        reject_file = stack.enter_context(
            RejectFile(rejects or default_path(str(source)), keep_others=rejects is None)
        )
        copier = Copier(reject_file, RejectReport(notes), resume, timeout)
        reading = stack.enter_context(open_plane(source, notes=notes))
        stored = CopySource(reading, query, copier.mark).records(follow=follow)
        records = _first(stack.enter_context(closing(stored)), limit)
        if dry_run:
            with progress("counting", None, "events") as advance:
                summary = count(records, advance)
        else:
            # Warnings of both planes come through the one that is read.
            writing = stack.enter_context(
                open_plane(target, notes=None, room_timeout=timeout, on_failure=copier.failed)
            )
            try:
                with copier.ending.contained(), progress("copying", None, "events") as advance:
                    copier.run(writing, records, advance)
            except ExperimentError as error:
                copier.summary.stopped = str(error)
            summary = copier.finish(writing)
    summary.seconds = round(time.monotonic() - began, 3)
    print_json(summary) if as_json else _show(summary)
    ctx.exit(copier.ending.exit_code(is_success=summary.is_success))


def _checked(source: Path, target: Path, path: Path | None, query: Query) -> ResumeFile | None:
    """Check both configurations; give the file that says how far an earlier copy came.

    Raises:
        ConfigError: With every problem of one of them.
        click.UsageError: They name the same place, or the file is of another copy.
    """
    from_, to = load(source), load(target)
    if places_of(from_) & places_of(to):
        raise click.UsageError(f"{source} and {target} name the same place: {from_.backplane.name}")
    return None if path is None else ResumeFile(path, mark_of(from_), mark_of(to), query)


def _first(records: Iterator[Stored | None], limit: int | None) -> Iterator[Stored | None]:
    """Give so many records, and what says that nothing comes."""
    given = 0
    for stored in records:
        yield stored
        given += stored is not None
        if given == limit:
            return


def _show(summary: Summary) -> None:
    if summary.dry_run:
        rows = {"would be copied": number(summary.read - summary.rejected)}
        rows |= _present("no events", summary.rejected)
    else:
        rate = summary.copied / max(summary.seconds, 0.001)
        rows = {
            "copied": f"{number(summary.copied)}  in {summary.seconds:.1f} s, {rate:,.0f} a second"
        }
        rows |= _present("copied before", summary.copied_before)
        rows |= _present("rejected", summary.rejected, f"kept in {summary.rejects}")
        rows |= _present("failed", summary.failed)
        rows |= _present("pending", summary.pending)
    if summary.stopped is not None:
        rows["stopped"] = summary.stopped
    if summary.interrupted or summary.stopped is not None:
        rows["to go on"] = (
            f"the same command, with --resume {summary.resume}"
            if summary.resume is not None
            else "from the start; with --resume PATH a copy goes on where it ended"
        )
    print_table(console(), facts({name: Text(clean(text)) for name, text in rows.items()}))


def _present(name: str, count: int, note: str = "") -> dict[str, str]:
    return {name: number(count) + (f"  {note}" if note else "")} if count else {}
