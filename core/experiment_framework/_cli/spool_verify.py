"""``experiment spool verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.text import Text

from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.parameters import config_argument, json_option
from experiment_framework._cli.progress import number, progress
from experiment_framework._cli.spool_source import (
    declared_spool,
    size,
    tell_unreadable,
)
from experiment_framework._cli.terminal import (
    clean,
    console,
    facts,
    print_json,
    print_table,
    table,
)
from experiment_framework._delivery.spool.inspection import (
    Damage,
    Inspection,
    KeptAside,
    SegmentView,
)

__all__ = ["command"]

_KINDS: Final = {
    "unreadable": Text("no record can be read there", style="bold red"),
    "noEnvelope": Text("whole, but no envelope", style="bold red"),
    "cutShort": Text("a write cut short, never answered", style="dim"),
}
_MOST_DAMAGES: Final = 10_000


class Verdict(msgspec.Struct, rename="camel"):
    """What was found when every frame was checked.

    Attributes:
        directory: The declared directory.
        segments: How many files were read.
        bytes: How long they are.
        records: How many records wait.
        lost: How many of them cannot be read.
        damages: The stretches that are no records, at most ten thousand.
        kept_aside: Files of what was found damaged before.
        unreadable: Folders and files that could not be read.
    """

    directory: str
    segments: int = 0
    bytes: int = 0
    records: int = 0
    lost: int = 0
    damages: list[Damage] = msgspec.field(default_factory=list)
    kept_aside: list[KeptAside] = msgspec.field(default_factory=list)
    unreadable: list[str] = msgspec.field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged; what was cut short at the end of a crash is no damage."""
        is_whole = all(each.kind == "cutShort" for each in self.damages)
        return is_whole and not self.lost and not self.unreadable


@click.command(
    epilog=exit_codes(
        done="every frame is sound",
        failed="corrupt records were found, or folders or files cannot be read",
    )
)
@config_argument
@json_option
@click.pass_context
def command(ctx: click.Context, config: Path, *, as_json: bool) -> None:
    """Check every record on disk; say where damage is and what it costs."""
    inspection = Inspection(declared_spool(config).directory)
    verdict = _checked(inspection)
    if as_json:
        print_json(verdict)
    else:
        _show(console(), verdict)
    tell_unreadable(inspection)
    ctx.exit(0 if verdict.is_sound else 1)


def _checked(inspection: Inspection) -> Verdict:
    views = [view for folder in inspection.folders() for view in inspection.segments(folder)]
    verdict = Verdict(str(inspection.directory), kept_aside=inspection.kept_aside())
    with progress("checking", sum(view.size for view in views)) as advance:
        for view in views:
            _check(view, verdict)
            advance(view.size)
    verdict.unreadable = inspection.unreadable
    return verdict


def _check(view: SegmentView, verdict: Verdict) -> None:
    for item in view.contents():
        if isinstance(item, Damage) and len(verdict.damages) < _MOST_DAMAGES:
            verdict.damages.append(item)
    verdict.segments += 1
    verdict.bytes += view.size
    verdict.records += view.records
    verdict.lost += view.lost


def _show(out: Console, verdict: Verdict) -> None:
    if verdict.damages:
        made = table("Segment", "From", "To", "What is there")
        for each in verdict.damages:
            made.add_row(clean(each.segment), str(each.start), str(each.end), _KINDS[each.kind])
        print_table(out, made)
        out.print()
    rows = {
        "segments": f"{number(verdict.segments)}, {size(verdict.bytes)}",
        "records": number(verdict.records),
        "unreadable": number(verdict.lost),
    }
    if verdict.kept_aside:
        rows["kept aside"] = f"{number(len(verdict.kept_aside))} stretches found before"
    print_table(out, facts({name: Text(text) for name, text in rows.items()}))
