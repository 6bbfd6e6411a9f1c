"""``experiment schema``."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.whole_schema import whole_schema
from experiment_framework._registry import default_registry

__all__ = ["command"]


@click.command(epilog=exit_codes(failed="a file cannot be written"))
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it to this file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print it on one line, for programs.")
def command(*, output: Path | None, as_json: bool) -> None:
    """Print the JSON Schema of configuration files, installed plugins included.

    \b
    Editors complete and check a file whose first line is
    # yaml-language-server: $schema=experiments.schema.json
    """  # noqa: D301  # click wants the character itself: it keeps the lines as they are
    encoded = msgspec.json.encode(whole_schema(default_registry()))
    text = encoded if as_json else msgspec.json.format(encoded, indent=2)
    if output is None:
        click.echo(text)
        return
    try:
        output.write_bytes(text + b"\n")
    except OSError as error:
        raise click.FileError(str(output), error.strerror) from error
