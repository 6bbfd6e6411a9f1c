"""How commands write: tables for a person, one JSON document for a program."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import click
import msgspec
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

__all__ = ["clean", "console", "errors", "facts", "print_json", "print_table", "table"]

_UNBOUNDED_WIDTH: Final = 1000
_GAP: Final = 2
_READABLE: Final = 24
"""Columns that text needs; narrower, it has a word or two a line."""


class _PipeConsole(Console):
    """A console that leaves it to the program's boundary what a broken pipe means."""

    def on_broken_pipe(self) -> NoReturn:
        raise  # noqa: PLE0704  # rich calls it where it has caught BrokenPipeError


def console() -> Console:
    """Make the console for results: colours on a terminal only, never wrapped in a pipe."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return _PipeConsole(
        width=_UNBOUNDED_WIDTH if piped else None, highlight=False, emoji=False, markup=False
    )


def errors() -> Console:
    """Make the console for what is not a result: progress, notes, what was rejected."""
    return _PipeConsole(stderr=True, highlight=False, emoji=False, markup=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Print one JSON document, indented; keys stay in their order."""
    encoded = msgspec.json.encode(value, enc_hook=_plain)
    click.echo(msgspec.json.format(encoded, indent=2))


def _plain(value: Any) -> str:
    return str(value)


def table(*columns: str, show_header: bool = True) -> Table:
    """Make a table in the one style that all commands have."""
    made = Table(box=None, show_header=show_header, pad_edge=False, padding=(0, _GAP, 0, 0))
    for column in columns:
        made.add_column(column, header_style="bold", overflow="fold")
    return made


def print_table(out: Console, made: Table, *, indent: int = 0) -> None:
    """Print a table whose last column alone is wrapped, between words.

    On a terminal that is too narrow for that, lines run on: names stay whole and can be copied.

    Args:
        out: Where it is printed.
        made: The table.
        indent: How many columns it begins with that are empty.
    """
    *names, last = made.columns
    text = _measured(out, last.header, *last.cells)
    narrowest = max(text.minimum, min(text.maximum, _READABLE))
    for column in names:
        column.no_wrap = True
        narrowest += _measured(out, column.header, *column.cells).maximum + _GAP
    options = out.options.update(width=max(out.width - indent, narrowest))
    for line in out.render_lines(made, options, pad=False):
        while line and not line[-1].text.strip():
            line.pop()
        if line:
            line[-1] = Segment(line[-1].text.rstrip(), line[-1].style)
        out.print(Segments([Segment(" " * indent), *line, Segment.line()]), end="", soft_wrap=True)


def _measured(out: Console, *cells: RenderableType) -> Measurement:
    widest = out.options.update(width=_UNBOUNDED_WIDTH)
    found = [Measurement.get(out, widest, cell) for cell in cells]
    return Measurement(max(each.minimum for each in found), max(each.maximum for each in found))


def facts(rows: Mapping[str, str | Text]) -> Table:
    """Make a table of names and what they are."""
    made = table("", "", show_header=False)
    for name, value in rows.items():
        made.add_row(Text(name, style="dim"), value)
    return made


def clean(text: str) -> str:
    """Make control characters visible: what others published must not drive the terminal."""
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )
