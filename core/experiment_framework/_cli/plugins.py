"""``experiment plugins``."""

from __future__ import annotations

from typing import Final

import click
from rich.text import Text

from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import json_option
from experiment_framework._cli.terminal import clean, console, print_json, print_table, table
from experiment_framework._registry.inspection import PluginReport, inspect_all

__all__ = ["command"]

_STYLES: Final = {
    "loaded": "green",
    "found": "dim",
    "broken": "bold red",
    "duplicate": "bold yellow",
}


@click.command(
    epilog=exit_codes(
        done="every plugin that is installed can be used",
        failed="one is broken, or two distributions claim one name",
    )
)
@json_option
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """List the plugins that are installed, each looked at in a process of its own.

    \b
    loaded     it can be used
    found      it is there, but another distribution was chosen, or it could not be looked at
    broken     it cannot be used; the reason is beside it
    duplicate  another distribution claims its name and nothing says which of them to use
    """  # noqa: D301  # click wants the character itself: it keeps the lines as they are
    reports = inspect_all()
    if as_json:
        print_json(reports)
    else:
        _show(reports)
    ctx.exit(1 if any(report.status in {"broken", "duplicate"} for report in reports) else 0)


def _show(reports: tuple[PluginReport, ...]) -> None:
    made = table("Kind", "Name", "Status", "Distribution", "Reason")
    for report in reports:
        owner = f"{report.distribution or 'registered in code'} {report.version or ''}"
        made.add_row(
            report.kind,
            clean(report.name),
            Text(report.status, style=_STYLES[report.status]),
            clean(owner.strip()),
            clean(report.reason or ""),
        )
    if reports:
        print_table(console(), made)
    else:
        console().print("no plugin is installed: pip install experiment-framework")
