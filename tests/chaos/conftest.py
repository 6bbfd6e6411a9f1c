"""The broker that all faults happen to, and the table of what they cost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from apache_kafka import ApacheKafka
from chaos_audit import Row
from chaos_settings import IS_FULL, SEED
from lab import Lab
from proxied_kafka import ProxiedKafka
from rich.console import Console
from rich.table import Table

ROWS: pytest.StashKey[list[Row]] = pytest.StashKey()


@pytest.fixture(scope="session")
def proxied_broker(
    apache_kafka: type[ApacheKafka], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxiedKafka]:
    """One real broker for all faults; a test leaves it running, however it treated it."""
    assert issubclass(ProxiedKafka, apache_kafka)
    broker = ProxiedKafka(tmp_path_factory.mktemp("kafka"))
    with broker.proxy, broker:
        yield broker


@pytest.fixture
def lab(
    proxied_broker: ProxiedKafka, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Lab]:
    rows = request.config.stash.setdefault(ROWS, [])
    choices = random.Random(f"{SEED} {request.node.name}")  # noqa: S311  # no secret
    lab = Lab(proxied_broker, tmp_path, choices, rows)
    yield lab
    lab.leave()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    table = Table(title=f"chaos ({'full' if IS_FULL else 'short'}, seed {SEED})")
    table.add_column("fault")
    for heading in ("events", "lost", "accounted for", "duplicates", "seconds"):
        table.add_column(heading, justify="right")
    for row in rows:
        figures = (row.events, row.lost, row.accounted, row.duplicates, round(row.seconds, 1))
        table.add_row(row.fault, *(f"{figure:,}" for figure in figures))
    console = Console(width=100)
    with console.capture() as capture:
        console.print(table)
    terminalreporter.write_line("")
    terminalreporter.write_line(capture.get())
