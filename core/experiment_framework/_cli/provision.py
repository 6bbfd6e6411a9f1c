"""``experiment provision``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from rich.text import Text

from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import config_argument, json_option
from experiment_framework._cli.planes import open_plane
from experiment_framework._cli.terminal import (
    clean,
    console,
    print_json,
    print_table,
    table,
)
from experiment_framework._config import load
from experiment_framework.errors import UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]

_STYLES: Final = {"created": "green", "exists": "dim", "failed": "bold red"}


@click.command(epilog=exit_codes(done="everything is there", failed="something is missing"))
@config_argument
@json_option
@click.option(
    "--sql", "as_sql", is_flag=True, help="Print the SQL that does it; nothing is connected to."
)
@click.pass_context
def command(ctx: click.Context, config: Path, *, as_json: bool, as_sql: bool) -> None:
    """Create the topics or tables that FILE names; what is there is left as it is."""
    if as_sql:
        click.echo(_script(config))
        return
    # What is logged as missing is what is to be made here; what cannot be made is raised.
    with open_plane(config, notes=None) as plane:
        provisioned = plane.provision() if plane.hooks.provision else []
    if as_json:
        print_json(provisioned)
    elif not provisioned:
        click.echo("there is nothing to provision")
    else:
        made = table("What", "Result", "Detail")
        for item in provisioned:
            result = Text(item.action, style=_STYLES.get(item.action, ""))
            made.add_row(clean(item.name), result, clean(item.detail))
        print_table(console(), made)
    ctx.exit(1 if any(item.action == "failed" for item in provisioned) else 0)


def _script(config: Path) -> str:
    loaded = load(config)
    hooks = loaded.backplane.create(loaded.backplane_options)
    script = None if hooks.provision_script is None else hooks.provision_script()
    if script is None:
        raise UnsupportedError(f"the backplane {hooks.name} is not provisioned with SQL")
    return script
