"""How fast the SQL backplane takes events to a table, on disks that are waited for."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from experiment_framework import DataPlane, DataPlaneOptions, Exposure
from experiment_framework_sql import SqlBackplane, SqlOptions

from bench.report import Spread, percentiles, table
from bench.workload import CORRELATION_ID, make_event

SERVER_SOURCES = Path(__file__).parents[1] / "tests" / "support"
FLUSH_SECONDS = 120.0
BATCH_SIZES = (500, 2000)


def measure_databases(*, rounds: int, events: int) -> None:
    """Print the rates of SQLite and, where it is installed, of PostgreSQL."""
    made = [make_event(number) for number in range(events)]
    with tempfile.TemporaryDirectory(prefix="bench-sql-") as folder:
        _print_rates("SQLite", [f"sqlite:///{folder}/{turn}.db" for turn in range(rounds)], made)
    try:
        with _postgresql(rounds) as urls:
            _print_rates("PostgreSQL", urls, made)
    except LookupError as missing:
        print(f"left out: {missing}")


@contextmanager
def _postgresql(rounds: int) -> Iterator[Sequence[str]]:
    sys.path.append(str(SERVER_SOURCES))
    from postgresql import PostgreSQL, PostgreSQLUnavailableError

    try:
        server = PostgreSQL(durable=True)
    except PostgreSQLUnavailableError as missing:
        raise LookupError(str(missing)) from missing
    with server:
        yield [server.create_database(f"round_{turn}") for turn in range(rounds)]


def _print_rates(name: str, urls: Sequence[str], made: Sequence[Exposure]) -> None:
    rows = []
    for batch_size in BATCH_SIZES:
        rates, taken = list[float](), list[int]()
        for turn, url in enumerate(urls):
            options = SqlOptions(
                url=url, table_name=f"events_{batch_size}", view_prefix=f"v{batch_size}_"
            )
            rate, each = _round(options, batch_size, made)
            if turn or len(urls) == 1:  # imports, caches: the first one is not counted
                rates.append(rate / 1000)
                taken += each
        rows.append([f"{batch_size:,}", f"{Spread(rates)} k/s", *percentiles(taken, 50, 99)])
    title = f"{name}, {len(urls)} rounds of {len(made):,} events into an empty table"
    table(title, ["batchSize", "arrived, median (min to max)", "publish p50, µs", "p99"], rows)


def _round(
    options: SqlOptions, batch_size: int, made: Sequence[Exposure]
) -> tuple[float, list[int]]:
    SqlBackplane(options).provision()
    clock = time.perf_counter_ns
    taken = []
    limits = DataPlaneOptions(batch_size=batch_size, max_queue_size=len(made))
    with DataPlane(SqlBackplane(options), limits) as plane:
        started = clock()
        for event in made:
            before = clock()
            plane.publish(event, correlation_id=CORRELATION_ID)
            taken.append(clock() - before)
        result = plane.flush(FLUSH_SECONDS)
        seconds = (clock() - started) / 1e9
    if result.delivered != len(made):
        raise RuntimeError(f"{result.delivered} of {len(made)} events arrived")
    return len(made) / seconds, taken
