"""``experiment describe``."""

from __future__ import annotations

import itertools
import re
from pathlib import Path as FilePath
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.text import Text

from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import config_argument, json_option
from experiment_framework._cli.terminal import clean, console, facts, print_json, print_table, table
from experiment_framework._config import Config, EffectiveValue, load
from experiment_framework._problems import Path, format_path

__all__ = ["command"]

_OPTIONS_DEPTH: Final = 3
"""``dataPlane.backplane.options``."""


@click.command(epilog=exit_codes())
@config_argument
@json_option
def command(config: FilePath, *, as_json: bool) -> None:
    """Show what FILE comes to: every option, where its value is from, what the client is given.

    Secrets are masked. Nothing is connected to.
    """
    loaded = load(config)
    hooks = loaded.backplane.create(loaded.backplane_options)
    limits = loaded.data_plane.max_queue_size, loaded.data_plane.max_queue_bytes
    given = hooks.client_settings(loaded.backplane_options, *limits)
    settings = {name: str(value) for name, value in given.items()}
    if as_json:
        print_json(_document(loaded, settings))
        return
    out = console()
    _show_options(out, loaded)
    if settings:
        out.print()
        out.print(Text(f"What the client of {loaded.backplane.name} is given", style="bold"))
        print_table(out, facts({name: clean(value) for name, value in sorted(settings.items())}))


def _document(config: Config, settings: dict[str, str]) -> dict[str, object]:
    return {
        "source": config.source,
        "backplane": {
            "type": config.backplane.name,
            "distribution": config.backplane.distribution,
            "version": config.backplane.version,
        },
        "values": [
            {
                "path": format_path(each.path),
                "value": each.value,
                "origin": each.origin,
                "usedBy": each.used_by or None,
            }
            for each in config.values
        ],
        "clientSettings": settings,
    }


def _show_options(out: Console, config: Config) -> None:
    plugin = config.backplane
    owner = f" from {plugin.distribution} {plugin.version}" if plugin.distribution else ""
    out.print(Text.assemble((config.source, "bold"), f"  type {plugin.name}{owner}"))
    for block, values in itertools.groupby(config.values, key=lambda each: _block(each.path)):
        out.print()
        out.print(Text(format_path(block), style="bold"))
        made = table("", "", "", show_header=False)
        for each in values:
            style = "dim" if each.origin == "default" else ""
            made.add_row(
                Text(f"  {clean(format_path(each.path[len(block) :]))}", style=style),
                Text(clean(_text(each.value)), style=style),
                Text(clean(_origin(each, config.source)), style="dim"),
            )
        print_table(out, made)


def _block(path: Path) -> Path:
    """Give the heading that an option stands under: where the backplane's own options begin."""
    return path[:_OPTIONS_DEPTH] if len(path) > _OPTIONS_DEPTH else path[:1]


def _origin(value: EffectiveValue, source: str) -> str:
    """Say where a value is from; in the file that is described, the line is enough."""
    origin = re.sub(rf"{re.escape(source)}:(\d+):\d+$", r"line \1", value.origin)
    return f"{origin}, {value.used_by}" if value.used_by else origin


def _text(value: object) -> str:
    if value is None:
        return "unset"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
