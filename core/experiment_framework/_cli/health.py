"""``experiment health``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click
import msgspec
from rich.text import Text

from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import config_argument, json_option, timeout_option
from experiment_framework._cli.planes import open_plane, spool_of
from experiment_framework._cli.terminal import clean, console, facts, print_json, print_table, table

if TYPE_CHECKING:
    from pathlib import Path

    from experiment_framework.dataplane import DataPlane
    from experiment_framework.health import Health

__all__ = ["command"]

_STYLES: Final = {"HEALTHY": "bold green", "DEGRADED": "bold yellow", "UNHEALTHY": "bold red"}
_PAUSE: Final = 0.05


@click.command(
    epilog=exit_codes(
        done="healthy, or degraded without --strict", failed="unhealthy, or degraded with --strict"
    )
)
@config_argument
@click.option("--strict", is_flag=True, help="Exit with 1 when it is degraded, too.")
@timeout_option(10.0, text="Longest wait for it to become healthy.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, config: Path, *, strict: bool, timeout: float, as_json: bool
) -> None:
    """Ask whether the backplane that FILE declares is up.

    Answers as soon as it is healthy, or degraded without --strict, and with the last verdict when
    the time is over. A spool that FILE declares is looked at only.
    """
    with open_plane(config, notes=None) as plane:
        health = _verdict(plane, timeout, strict=strict)
    spool = spool_of(config)
    if spool is not None:
        from experiment_framework._cli.spool_health import with_spool

        health = with_spool(health, spool)
    if as_json:
        print_json(health)
    else:
        _show(health)
    ctx.exit(0 if _is_good(health, strict=strict) else 1)


def _verdict(plane: DataPlane, timeout: float, *, strict: bool) -> Health:
    deadline = time.monotonic() + timeout
    health = plane.health()
    while not _is_good(health, strict=strict) and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        health = plane.health()
    if health.details.get("answered") is False:
        never = f"nothing has answered within {timeout:g} s"
        return msgspec.structs.replace(
            health, status="UNHEALTHY", message=never, reasons=(never, *health.reasons)
        )
    return health


def _is_good(health: Health, *, strict: bool) -> bool:
    if health.status == "DEGRADED" and not strict:
        return health.details.get("answered") is not False
    return health.is_healthy


def _show(health: Health) -> None:
    out = console()
    out.print(Text(health.status, style=_STYLES[health.status]))
    if health.reasons:
        reasons = table("", show_header=False)
        for reason in health.reasons:
            reasons.add_row(clean(reason))
        print_table(out, reasons, indent=2)
    members = health.details.get("members", {})
    if details := {name: value for name, value in health.details.items() if name != "members"}:
        out.print()
        print_table(out, facts({name: clean(_text(value)) for name, value in details.items()}))
    for name, found in members.items():
        out.print()
        out.print(Text(clean(f"{name}  {found.get('status', '')}"), style="bold"))
        rows = {key: clean(_text(value)) for key, value in found.items() if key != "status"}
        print_table(out, facts(rows))


def _text(value: object) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
