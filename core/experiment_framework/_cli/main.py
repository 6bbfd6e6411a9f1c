"""The ``experiment`` command, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final

import click

from experiment_framework._cli.commands import LazyCommands
from experiment_framework._cli.help import INTERRUPTED, READER_GONE, exit_codes
from experiment_framework._interrupts import interrupts_intact
from experiment_framework.errors import ConfigError, ExperimentError

__all__ = ["experiment", "main"]

_NAME: Final = "experiment"


class _ReaderGoneError(Exception):
    """Nobody reads what a command prints; click would take it for a failure."""


@contextmanager
def _noticing_the_reader() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderGoneError from error


class Program(LazyCommands):
    """The root of the command line: what a command raises on purpose ends here, in one line.

    A bug is not caught: its traceback is what its report needs.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Parse the arguments; help is printed here."""
        with _noticing_the_reader():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that the arguments name."""
        with interrupts_intact(), _noticing_the_reader():
            return super().invoke(ctx)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and exit with the code that the help documents."""

        def run() -> Any:
            return click.Group.main(
                self, args, prog_name, complete_var, standalone_mode=False, **extra
            )

        return sys.exit(_exit_code(run)) if standalone_mode else run()


def _exit_code(run: Callable[[], Any]) -> int:
    try:
        code = run()
        click.echo(nl=False)  # what is still buffered fails here, not when Python exits
    except (_ReaderGoneError, BrokenPipeError):
        _forget_output()
        return READER_GONE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ExperimentError as error:
        _show(error)
        return error.exit_code
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _forget_output()
        click.echo(f"Error: {error.strerror}", err=True)
        return 1
    return code if type(code) is int else 0


def _show(error: ExperimentError) -> None:
    """Say what is wrong; a configuration's problems come with their own positions."""
    if isinstance(error, ConfigError):
        from experiment_framework._cli.problems import show_problems

        show_problems(error)
    else:
        click.echo(f"Error: {error}", err=True)


def _open_missing_streams() -> None:
    """Stand in for streams that were closed by whoever started this (``>&-``)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115  # until the end
            setattr(sys, name, stream)


def _forget_output() -> None:
    """Point standard output nowhere, so that its last flush at exit does not fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if _is_broken(stream):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _is_broken(stream: IO[str]) -> bool:
    try:
        stream.flush()
    except OSError:
        return True
    return False


def _show_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"{_NAME} {version('experiment-framework-core')}")
        ctx.exit()


@click.group(
    cls=Program,
    epilog=exit_codes(failed="the work did not succeed"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def experiment() -> None:
    """Experiment events out of your process: typed, in order per key, nothing lost silently.

    FILE is a configuration in YAML or JSON. Commands that print take --json.
    """


def main() -> None:
    """Run the command line: what the ``experiment`` script calls."""
    _open_missing_streams()
    experiment.main(prog_name=_NAME)
