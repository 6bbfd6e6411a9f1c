"""``experiment init``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.text import Text

from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import json_option
from experiment_framework._cli.starting_text import starting_text
from experiment_framework._cli.terminal import console, print_json, print_table, table
from experiment_framework._cli.whole_schema import whole_schema
from experiment_framework._registry import Registry, default_registry
from experiment_framework.errors import PluginError

__all__ = ["command"]

_PREFERRED: Final = ("kafka", "file")
"""What a newcomer most likely wants, where it is installed."""


def _complete_type(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    names = default_registry().backplane_names()
    return [name for name in names if name.startswith(incomplete)]


@click.command(epilog=exit_codes(failed="a file cannot be written"))
@click.argument("file", default="experiments.yaml", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--type",
    "backplane",
    metavar="TYPE",
    shell_complete=_complete_type,
    help="The backplane's type, such as kafka or file.",
)
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@json_option
def command(*, file: Path, backplane: str | None, force: bool, as_json: bool) -> None:
    """Write a commented configuration to start from.

    FILE is experiments.yaml where none is given. The JSON Schema that editors complete and check it
    by is written beside it, for the plugins that are installed now.
    """
    registry = default_registry()
    chosen = backplane or _first_choice(registry)
    schema_file = file.with_suffix(".schema.json")
    text = starting_text(
        file=file.name,
        schema=schema_file.name,
        backplane=chosen,
        options_class=registry.load_backplane(chosen).options_class,
        step_options=_step_options(registry),
    )
    schema = msgspec.json.format(msgspec.json.encode(whole_schema(registry)), indent=2)
    _write({file: text.encode(), schema_file: schema + b"\n"}, force=force)
    if as_json:
        print_json({"file": str(file), "schema": str(schema_file), "type": chosen})
    else:
        _show(file, schema_file)


def _first_choice(registry: Registry) -> str:
    names = registry.backplane_names()
    if not names:
        raise click.UsageError("no backplane is installed: pip install experiment-framework")
    return next((name for name in _PREFERRED if name in names), names[0])


def _step_options(registry: Registry) -> list[type[Any]]:
    """Give the options of all steps that can be used; what others are is for `plugins` to say."""
    found: list[type[Any]] = []
    for key in registry.step_keys():
        with suppress(PluginError):
            options_class = registry.load_step(key).options_class
            if options_class not in found:
                found.append(options_class)
    return found


def _write(contents: dict[Path, bytes], *, force: bool) -> None:
    taken = [str(path) for path in contents if os.path.lexists(path)]
    if taken and not force:
        raise click.UsageError(f"{' and '.join(taken)} would be overwritten: --force does that")
    for path, content in contents.items():
        try:
            path.write_bytes(content)
        except OSError as error:
            raise click.FileError(str(path), error.strerror) from error


def _show(file: Path, schema_file: Path) -> None:
    out = console()
    out.print(f"wrote {file} and {schema_file}")
    out.print()
    made = table("", "", show_header=False)
    for step, why in _next_steps(file):
        made.add_row(Text(step, style="cyan"), Text(why, style="dim"))
    print_table(out, made)


def _next_steps(file: Path) -> Iterator[tuple[str, str]]:
    yield f"experiment validate {file}", "check it, offline"
    yield f"experiment describe {file}", "see what it comes to"
    yield f"experiment health {file}", "ask whether the backplane is up"
