"""``experiment spool export``."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from experiment_framework._cli.choosing import choosing_options
from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import config_argument, json_option
from experiment_framework._cli.progress import number
from experiment_framework._cli.spool_source import (
    RecordReader,
    declared_spool,
    is_read_at_once,
    tell_unreadable,
)
from experiment_framework._cli.terminal import console, errors
from experiment_framework._delivery.spool.inspection import Inspection, Waiting
from experiment_framework.plugin.backplane import Query

__all__ = ["command"]


class Summary(msgspec.Struct, frozen=True):
    """What was written, how many records could not be read, and which folders and files."""

    output: str
    records: int
    lost: int
    unreadable: list[str]


@click.command(
    short_help="Write the records that wait as JSON Lines.",
    epilog=exit_codes(failed="records, folders or files cannot be read, or OUTPUT not be written"),
)
@config_argument
@click.argument(
    "output", metavar="[OUTPUT]", default="-", type=click.Path(dir_okay=False, allow_dash=True)
)
@choosing_options
@click.option("--force", is_flag=True, help="Write over OUTPUT.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    config: Path,
    *,
    output: str,
    query: Query,
    limit: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write the records that wait as JSON Lines, as `experiment publish` reads.

    They go to OUTPUT, or to standard output, and stay in the spool, too. --json prints the summary
    as JSON, on standard error where the records are on standard output.
    """
    is_apart = output != "-"
    inspection = Inspection(declared_spool(config).directory)
    reader = RecordReader(inspection, is_quiet=not is_apart and is_read_at_once())
    records = reader.records(query)
    with _opened(output, force=force) as stream:
        written = _write(itertools.islice(records, limit), stream)
    if as_json:
        summary = Summary(output, written, reader.lost, inspection.unreadable)
        click.echo(msgspec.json.encode(summary), err=not is_apart)
    else:
        (console() if is_apart else errors()).print(f"{number(written)} records exported")
    if reader.lost:
        errors().print(f"{number(reader.lost)} records cannot be read", style="yellow")
    is_partial = tell_unreadable(inspection)
    ctx.exit(1 if reader.lost or is_partial else 0)


def _write(records: Iterable[Waiting], stream: BinaryIO) -> int:
    written = 0
    for waiting in records:
        stream.write(waiting.record.body + b"\n")
        written += 1
    stream.flush()
    return written


@contextmanager
def _opened(output: str, *, force: bool) -> Iterator[BinaryIO]:
    if output == "-":
        yield sys.stdout.buffer
        return
    try:  # Path.open takes no opener
        stream = open(output, "wb" if force else "xb", opener=_private)  # noqa: SIM115  # closed below
    except FileExistsError as error:
        raise click.UsageError(f"{output} is there already; --force writes over it") from error
    except OSError as error:
        raise click.FileError(output, error.strerror) from error
    try:
        with stream:
            yield stream
    except OSError as error:
        message = f"not all records are in {output}: {error.strerror}"
        raise click.ClickException(message) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
