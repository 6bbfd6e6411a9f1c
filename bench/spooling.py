"""What a spool costs `DataPlane.publish`, how fast it is sent again, and what it costs to look."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Literal

from experiment_framework import DataPlane, Exposure
from experiment_framework.dataplane_options import SpoolOptions

from bench.report import Spread, percentiles, table
from bench.workload import CORRELATION_ID, make_event, make_plane

FLUSH_SECONDS = 120.0
LOOKS = 5000
UNREACHABLE = "127.0.0.1:9"

Mode = Literal["overflow", "writeAhead"]


def measure_spooling(servers: str, *, rounds: int, events: int) -> None:
    """Print rates with and without a spool, of a replay, and the time that a look takes."""
    made = [make_event(number) for number in range(events)]
    with tempfile.TemporaryDirectory(prefix="bench-spooling-") as folder:
        _print_rates(servers, Path(folder), made, rounds)
        _print_replay(servers, Path(folder) / "replay", made)


def _print_rates(servers: str, folder: Path, made: Sequence[Exposure], rounds: int) -> None:
    planes = {
        "without": make_plane(servers),
        "overflow": _plane(servers, folder / "overflow", "overflow"),
        "writeAhead": _plane(servers, folder / "ahead", "writeAhead"),
    }
    for plane in planes.values():
        _rate(plane, made)  # connections and caches: not counted
    rates: dict[str, list[float]] = {name: [] for name in planes}
    for turn in range(rounds):
        for name in list(planes) if turn % 2 else reversed(list(planes)):
            rates[name].append(_rate(planes[name], made))
    pairs = [("overflow", "without"), ("writeAhead", "overflow")]
    rows = [[name, f"{median(found) / 1000:,.1f} k/s", ""] for name, found in rates.items()]
    for row, (one, other) in zip(rows[1:], pairs, strict=True):
        ratios = [a / b for a, b in zip(rates[one], rates[other], strict=True)]
        row[2] = f"{Spread(ratios)} of {other}"
    table(f"published with a spool, {rounds} rounds of {len(made):,}", ["", "", "ratio"], rows)
    plane = planes["writeAhead"]
    looks = [
        [name, *percentiles(_time_each(look), 50, 99)]
        for name, look in (("stats()", plane.stats), ("health()", plane.health))
    ]
    table("one look, in µs", ["", "p50", "p99"], looks)
    for plane in planes.values():
        plane.close()


def _print_replay(servers: str, folder: Path, made: Sequence[Exposure]) -> None:
    left = _plane(UNREACHABLE, folder, "writeAhead")
    for event in made:
        left.publish(event, correlation_id=CORRELATION_ID)
    left.close(0.0)
    started = time.perf_counter()
    with _plane(servers, folder, "writeAhead") as plane:
        plane.flush(FLUSH_SECONDS)
        seconds = time.perf_counter() - started
        stats = plane.stats()
    print(
        f"replayed {stats.delivered:,} of {stats.recovered:,} records left by another data plane: "
        f"{stats.delivered / seconds / 1000:,.1f} k/s from start to the last delivery"
    )


def _plane(servers: str, folder: Path, mode: Mode) -> DataPlane:
    spool = SpoolOptions(directory=folder, mode=mode, replay_per_second=10_000_000)
    return make_plane(servers, failure_mode="spool", spool=spool)


def _rate(plane: DataPlane, made: Sequence[Exposure]) -> float:
    publish = plane.publish
    started = time.perf_counter()
    for event in made:
        publish(event, correlation_id=CORRELATION_ID)
    seconds = time.perf_counter() - started
    plane.flush(FLUSH_SECONDS)
    return len(made) / seconds


def _time_each(look: Callable[[], object]) -> list[int]:
    taken = []
    for _ in range(LOOKS):
        started = time.perf_counter_ns()
        look()
        taken.append(time.perf_counter_ns() - started)
    return taken
