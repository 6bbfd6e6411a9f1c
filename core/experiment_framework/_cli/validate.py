"""``experiment validate``."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import json_option
from experiment_framework._config import load
from experiment_framework._problems import Problem, format_path
from experiment_framework.errors import ConfigError

__all__ = ["command"]


class Verdict(msgspec.Struct, frozen=True, rename="camel"):
    """What there is to say about one file."""

    file: str
    valid: bool
    problems: tuple[dict[str, object], ...] = ()


@click.command(epilog=exit_codes(done="every file is valid"))
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@json_option
@click.pass_context
def command(ctx: click.Context, files: tuple[Path, ...], *, as_json: bool) -> None:
    """Check configuration files, offline: nothing is connected to, nothing is sent.

    All problems of a file are shown at once, each with its line and column.
    """
    verdicts = [_check(file, quiet=as_json) for file in files]
    if as_json:
        from experiment_framework._cli.terminal import print_json

        print_json(verdicts)
    ctx.exit(0 if all(verdict.valid for verdict in verdicts) else 2)


def _check(file: Path, *, quiet: bool) -> Verdict:
    try:
        config = load(file)
    except ConfigError as error:
        if not quiet:
            from experiment_framework._cli.problems import show_problems

            show_problems(error)
        problems = tuple(_plain(problem) for problem in error.problems)
        return Verdict(str(file), valid=False, problems=problems)
    if not quiet:
        click.echo(f"{file}: valid, type {config.backplane.name}")
    return Verdict(str(file), valid=True)


def _plain(problem: Problem) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(problem)
    fields["path"] = format_path(problem.path)
    fields["involves"] = [format_path(path) for path in problem.involves]
    return {name: value for name, value in fields.items() if value}
