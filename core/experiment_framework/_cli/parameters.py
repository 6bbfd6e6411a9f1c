"""Parameters that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["config_argument", "json_option", "timeout_option"]

F = TypeVar("F", bound=Callable[..., Any])

config_argument = click.argument(
    "config", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class _Seconds(click.FloatRange):
    """A range of seconds; ``nan``, which compares with nothing, is outside of it."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if math.isnan(seconds := float(super().convert(value, param, ctx))):
            self.fail(f"{value} is no number of seconds.", param, ctx)
        return seconds


def timeout_option(default: float, *, text: str) -> Callable[[F], F]:
    """Make a ``--timeout`` in seconds with its own help."""
    return click.option(
        "--timeout",
        type=_Seconds(min=0, max=3600),
        default=default,
        show_default=True,
        metavar="SECONDS",
        help=text,
    )
