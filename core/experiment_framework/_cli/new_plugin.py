"""``experiment new-plugin``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import json_option
from experiment_framework._cli.plugin_project import PluginName, project_files
from experiment_framework._cli.terminal import console, print_json, print_table, table
from experiment_framework._registry import default_registry

__all__ = ["command"]


def _checked(_ctx: click.Context, _parameter: click.Parameter, value: str) -> PluginName:
    if fault := PluginName.fault(value):
        raise click.BadParameter(f"{value!r} cannot be it: {fault}")
    if value in default_registry().backplane_names():
        raise click.BadParameter(
            f"a backplane of the type {value!r} is installed already, and two of one type are an "
            "error for whoever has both: choose another name"
        )
    return PluginName(value)


@click.command(epilog=exit_codes(failed="a file cannot be written"))
@click.argument("name", callback=_checked)
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Where the files go: a folder that does not exist yet. [default: NAME-backplane]",
)
@json_option
def command(*, name: PluginName, directory: Path | None, as_json: bool) -> None:
    """Write a distribution with a backplane of your own, to start from.

    NAME is the type that configurations will select it by, such as redis or googlePubSub. What is
    written works: it appends events to a file, and its tests, the conformance suite among them,
    pass. Replace the file by your sink.
    """
    target = directory or Path(name.distribution)
    contents = project_files(name)
    _write(target, contents)
    if as_json:
        print_json(
            {
                "type": name.type,
                "distribution": name.distribution,
                "directory": str(target),
                "files": list(contents),
            }
        )
    else:
        _show(name, target)


def _write(target: Path, contents: dict[str, str]) -> None:
    try:
        target.mkdir()
    except FileExistsError as error:
        raise click.UsageError(f"{target} exists already, and nothing is overwritten") from error
    except OSError as error:
        raise click.FileError(str(target), error.strerror) from error
    for path, text in contents.items():
        file = target / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        except OSError as error:
            raise click.FileError(str(file), error.strerror) from error


def _show(name: PluginName, target: Path) -> None:
    out = console()
    out.print(Text(f"wrote {name.distribution} to {target}"))
    out.print()
    made = table("", "", show_header=False)
    for step, why in (
        (f"cd {target}", ""),
        ('pip install -e ".[test]"', "install it, with what its tests need"),
        ("pytest", "see that it keeps what every backplane promises"),
        (f"edit {name.package}/backplane.py", "take the events to your own sink"),
    ):
        made.add_row(Text(step, style="cyan"), Text(why, style="dim"))
    print_table(out, made)
