"""``experiment publish``."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self

import click
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.json_lines import Line, read_lines
from experiment_framework._cli.parameters import config_argument, json_option, timeout_option
from experiment_framework._cli.planes import open_plane
from experiment_framework._cli.publication import Publication, Summary
from experiment_framework._cli.rejects import RejectFile, RejectReport, default_path
from experiment_framework._cli.terminal import (
    console,
    errors,
    facts,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

__all__ = ["command"]

_LINES_BETWEEN_UPDATES: Final = 500


@click.command(
    epilog=exit_codes(
        done="every line was published and delivered",
        failed="lines were rejected or events were lost",
    )
)
@config_argument
@click.argument(
    "source",
    metavar="[INPUT]",
    default="-",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where rejected lines go. [default: INPUT.rejects.jsonl; stdin.rejects.jsonl for "
    "standard input; never over an earlier one]",
)
@timeout_option(60.0, text="Longest wait for room, and for delivery at the end.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    config: Path,
    *,
    source: str,
    rejects: Path | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Publish envelopes to the backplane that FILE declares.

    INPUT has one JSON envelope a line, as `experiment tail --json` prints them; standard input by
    default. Only eventType and payload are required; an eventId that is given is kept.

    A line that cannot be published is reported by its number and kept, with the reason, in the
    reject file. While the backplane has no room, reading waits.
    """
    with ExitStack() as stack:
        notes = errors()
        plane = stack.enter_context(open_plane(config, notes=notes, room_timeout=timeout))
        reject_file = stack.enter_context(
            RejectFile(rejects or default_path(source), keep_others=rejects is None)
        )
        stream = stack.enter_context(_opened(source))
        publication = Publication(plane, reject_file, RejectReport(notes))
        with _ProgressBar(notes, source) as bar:
            publication.run(read_lines(stream), bar.advance)
        summary = publication.finish(timeout)
    if as_json:
        print_json(summary)
    else:
        _show(summary, timeout)
    ctx.exit(publication.ending.exit_code(is_success=summary.is_success))


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        if sys.stdin.isatty():
            errors().print("reading envelopes from the terminal; Ctrl-D ends", style="dim")
        yield sys.stdin.buffer
        return
    try:
        stream = Path(source).open("rb")  # noqa: SIM115  # closed below; only opening is guarded
    except OSError as error:
        raise click.FileError(source, error.strerror) from error
    with stream:
        yield stream


class _ProgressBar:
    """Shows how far reading is: by bytes for a file, a mere count for a stream."""

    def __init__(self, notes: Console, source: str) -> None:
        total = Path(source).stat().st_size if source != "-" else None
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[lines]:,} lines"),
            TimeElapsedColumn(),
            console=notes,
            transient=True,
            disable=not notes.is_terminal,
        )
        self._task: TaskID = self._progress.add_task("publishing", total=total or None, lines=0)
        self._lines = 0
        self._bytes = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, line: Line) -> None:
        self._lines += 1
        self._bytes += line.size
        if self._lines % _LINES_BETWEEN_UPDATES == 0:
            self._progress.update(self._task, completed=self._bytes, lines=self._lines)


def _show(summary: Summary, timeout: float) -> None:
    rows = {"lines": f"{summary.lines:,}", "accepted": f"{summary.accepted:,}"}
    rows |= _present("sampled out", summary.sampled_out) | _present("disabled", summary.disabled)
    rows["delivered"] = f"{summary.delivered:,}"
    rows |= _present("failed", summary.failed)
    waited = "no answer yet" if summary.interrupted else f"no answer within {timeout:g} s"
    rows |= _present("pending", summary.pending, waited)
    rows |= _present("rejected", summary.rejected, f"kept in {summary.rejects}")
    if summary.stopped_at is not None:
        rows["stopped"] = (
            f"at line {summary.stopped_at:,}: no room for {timeout:g} s; "
            "it and what follows it were not published"
        )
    if summary.interrupted:
        rows["interrupted"] = "by Ctrl-C; lines that are not counted were not published"
    print_table(console(), facts({name: Text(text) for name, text in rows.items()}))


def _present(name: str, count: int, note: str = "") -> dict[str, str]:
    return {name: f"{count:,}" + (f"  {note}" if note else "")} if count else {}
