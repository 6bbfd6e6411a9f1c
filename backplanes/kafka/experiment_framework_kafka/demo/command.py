"""The command itself."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from experiment_framework_kafka.demo.report import report
from experiment_framework_kafka.demo.trial import Outcomes, Trial
from experiment_framework_kafka.embedded import EmbeddedKafka

__all__ = ["command"]

_PICTURE_WIDTH: Final = 80


@click.command(
    "demo",
    epilog="\b\nExit codes:\n"
    "  0    every event arrived once, in order, with its headers\n"
    "  1    that is not so\n"
    "  2    usage is wrong\n"
    "  130  interrupted by Ctrl-C\n"
    "  141  the reader of the output went away",
)
@click.option(
    "--subjects",
    type=click.IntRange(1, 1_000_000),
    default=20_000,
    show_default=True,
    metavar="N",
    help="How many subjects to simulate.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="What the simulation starts from."
)
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Save the output as a picture, too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.pass_context
def command(
    ctx: click.Context, *, subjects: int, seed: int, svg: Path | None, as_json: bool
) -> None:
    """Run an A/B test through Kafka, end to end.

    Starts a Kafka inside this process, publishes exposures and outcomes of simulated subjects as an
    application would, reads everything back with an independent consumer, and proves that each
    event arrived once, in order per key, with its headers. Nothing needs to be installed or
    running; nothing is left behind.
    """
    with EmbeddedKafka() as kafka:
        outcomes = _run(Trial(kafka.bootstrap_servers, subjects=subjects, seed=seed), subjects)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(outcomes), indent=2))
    else:
        click.echo(_rendered(outcomes), nl=False)
    if svg is not None:
        _save_picture(outcomes, svg)
    ctx.exit(0 if outcomes.passed else 1)


def _run(trial: Trial, subjects: int) -> Outcomes:
    notes = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} subjects"),
        TextColumn("{task.fields[checked]:,} events read back and checked"),
        TimeElapsedColumn(),
        console=notes,
        transient=True,
        disable=not notes.is_terminal,
    ) as progress:
        task = progress.add_task("A/B test", total=subjects, checked=0)
        return trial.run(
            lambda published, checked: progress.update(task, completed=published, checked=checked)
        )


def _rendered(outcomes: Outcomes) -> str:
    """Give the report with colours where standard output is a terminal."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    console = Console(highlight=False)
    # A terminal that is narrower wraps lines by itself; abbreviated figures would be worth nothing.
    console.width = _PICTURE_WIDTH if piped else max(console.width, _PICTURE_WIDTH)
    with console.capture() as captured:
        console.print(report(outcomes))
    return captured.get()


def _save_picture(outcomes: Outcomes, path: Path) -> None:
    recorder = Console(
        record=True,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        width=_PICTURE_WIDTH,
        highlight=False,
    )
    recorder.print(report(outcomes))
    # A picture that fetches fonts from somewhere would tell others who looks at it.
    picture = re.sub(
        r"@font-face\s*{[^}]*}|<!--.*?-->", "", recorder.export_svg(title="experiment demo")
    )
    try:
        path.write_text(picture, "utf-8")
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from error
