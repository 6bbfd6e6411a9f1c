"""How commands write: tables for a person, one JSON document for a program."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["clean", "console", "errors", "facts", "print_json", "table"]

_UNBOUNDED_WIDTH: Final = 1000


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
    made = Table(box=None, show_header=show_header, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, header_style="bold", overflow="fold")
    return made


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
