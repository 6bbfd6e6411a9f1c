"""What a run of the demo looks like in a terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from experiment_framework_kafka.demo.trial import CONFIGURATION, Outcomes, VariantRow

__all__ = ["report"]

_BAR_WIDTH: Final = 18
_AT_LEAST: Final = "■"
_AT_MOST: Final = "□"
_NEXT: Final = (
    ("experiment init", "write a configuration of your own"),
    ("experiment validate experiments.yaml", "check it, offline"),
    ("experiment health experiments.yaml", "ask whether Kafka is up"),
    ("experiment tail experiments.yaml", "follow the events of your application"),
)


def report(outcomes: Outcomes) -> RenderableType:
    """Show the configuration, the result of the test, what was proved, and what to try next."""
    parts: list[RenderableType] = [
        Text.assemble(
            ("One declaration says where events go", "bold"),
            ("   here: a Kafka inside this process", "dim"),
        ),
        Syntax(_shown_configuration(), "yaml", background_color="default", theme="ansi_dark"),
        Text(),
        Text.assemble(
            (f"An A/B test, {outcomes.subjects:,} subjects", "bold"),
            ("   as an independent consumer read it back", "dim"),
        ),
        _result(outcomes.variants),
        Text(),
        *_proof(outcomes),
        Text(),
        _throughput(outcomes),
        Text(),
        Text("Next", style="bold"),
        _next(),
    ]
    return Group(*parts)


def _shown_configuration() -> str:
    return "\n".join(line for line in CONFIGURATION.splitlines() if not line.startswith("#"))


def _result(rows: tuple[VariantRow, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("variant", no_wrap=True)
    for name in ("exposures", "conversions", "rate", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(f"{_AT_LEAST} at least {_AT_MOST} up to", no_wrap=True)
    top = max((row.high for row in rows), default=0.0) or 1.0
    best = max(row.low for row in rows)
    for row in rows:
        is_ahead = row.low == best and all(row.low > other.high for other in rows if other != row)
        table.add_row(
            Text(row.variant, style="bold green" if is_ahead else ""),
            f"{row.exposures:,}",
            f"{row.conversions:,}",
            f"{row.rate:.1%}",
            f"{row.low:.1%} to {row.high:.1%}",
            _bar(row, top, "green" if is_ahead else "cyan"),
        )
    return table


def _bar(row: VariantRow, top: float, style: str) -> Text:
    """Draw the interval: what the rate is at least, then what it is at most."""
    low, high = (round(edge / top * _BAR_WIDTH) for edge in (row.low, row.high))
    return Text.assemble((_AT_LEAST * low, f"bold {style}"), (_AT_MOST * max(1, high - low), style))


def _proof(outcomes: Outcomes) -> list[Text]:
    found = outcomes.findings
    lines = [
        _check(
            f"each of {outcomes.events:,} event ids arrived exactly once",
            {
                "not accepted": outcomes.not_accepted,
                "missing": found.missing,
                "duplicated": found.duplicated,
                "unexpected": found.unexpected,
            },
        ),
        _check(
            f"in order for each of {outcomes.keys:,} keys, "
            f"spread over {outcomes.partitions} partitions",
            {
                "keys out of order": found.keys_out_of_order,
                "keys on several partitions": found.keys_on_several_partitions,
            },
        ),
        _check(
            "the four headers of every message agree with its body",
            {"messages with wrong headers": found.wrong_headers},
        ),
    ]
    if not outcomes.passed:
        lines.append(Text("The demo failed: what was published is not what arrived.", "bold red"))
    return lines


def _check(claim: str, faults: dict[str, int]) -> Text:
    wrong = ", ".join(f"{count:,} {name}" for name, count in faults.items() if count)
    if wrong:
        return Text.assemble(("✘ ", "bold red"), (f"not true: {claim}", "red"), f"  ({wrong})")
    return Text.assemble(("✔ ", "bold green"), claim)


def _throughput(outcomes: Outcomes) -> Text:
    return Text.assemble(
        (f"{outcomes.events_per_second:,.0f} events/s", "bold"),
        f" published and acknowledged  ({outcomes.events:,} events, "
        f"{outcomes.bytes / 1e6:.1f} MB, {outcomes.seconds:.2f} s)",
    )


def _next() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(style="dim")
    for command, why in _NEXT:
        table.add_row(command, why)
    return table
