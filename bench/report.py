"""How figures are shown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

_console = Console(width=100, highlight=False)


class Spread:
    """A figure that was measured several times."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = values

    def __str__(self) -> str:
        return f"{median(self.values):.2f} ({min(self.values):.2f} to {max(self.values):.2f})"


def percentiles(nanoseconds: Sequence[int], *wanted: float) -> list[str]:
    """Give percentiles in µs."""
    cuts = quantiles(nanoseconds, n=1000)
    return [f"{cuts[round(percent * 10) - 1] / 1e3:,.1f}" for percent in wanted]


def heading(text: str) -> None:
    """Print a line that begins a new part."""
    _console.rule(text, align="left")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of figures."""
    shown = Table(title=title, title_justify="left", box=SIMPLE)
    for number, column in enumerate(columns):
        shown.add_column(column, justify="right" if number else "left")
    for row in rows:
        shown.add_row(*row)
    _console.print(shown)
