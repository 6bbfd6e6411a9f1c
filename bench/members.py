"""What several backplanes cost beside the slower one of them alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from experiment_framework import DataPlane, Exposure

from bench.report import Spread, percentiles, table
from bench.workload import CORRELATION_ID, make_event

FLUSH_SECONDS: Final = 120.0


def measure_members(*, rounds: int, events: int) -> None:
    """Print the rates of each backplane alone, and of two together."""
    made = [make_event(number) for number in range(events)]
    rates: dict[str, list[float]] = {}
    taken: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-members-") as folder:
        for turn in range(rounds):
            place = Path(folder, str(turn))
            place.mkdir()
            for name, backplanes in _cases(place).items():
                rate, each = _round(backplanes, made)
                rates.setdefault(name, []).append(rate / 1000)
                taken.setdefault(name, []).extend(each)
    rows = [
        [name, f"{Spread(values)} k/s", *percentiles(taken[name], 50, 99)]
        for name, values in rates.items()
    ]
    table(
        "Events that are durable a second, and µs that publish takes",
        ("backplanes", "rate", "p50", "p99"),
        rows,
    )


def _cases(place: Path) -> Mapping[str, Sequence[dict[str, Any]]]:
    def file(name: str) -> dict[str, Any]:
        return {"type": "file", "name": name, "options": {"path": str(place / f"{name}.jsonl")}}

    def sql(name: str) -> dict[str, Any]:
        options = {"url": f"sqlite:///{place / name}.db", "autoMigrate": True}
        return {"type": "sql", "name": name, "options": options}

    return {
        "file": [file("alone")],
        "composite of file": [file("only"), {"type": "memory", "eventTypes": ["Error"]}],
        "file and file": [file("first"), file("second")],
        "sqlite": [sql("alone")],
        "sqlite and file": [sql("database"), file("beside")],
    }


def _round(
    backplanes: Sequence[dict[str, Any]], made: Sequence[Exposure]
) -> tuple[float, list[int]]:
    limits = {"maxQueueSize": 10_000_000, "maxQueueBytes": 2**33}
    if len(backplanes) == 1:
        (alone,) = backplanes
        written = {"backplane": {"type": alone["type"], "options": alone["options"]}, **limits}
    else:
        written = {"backplanes": [each | limits for each in backplanes]}
    taken: list[int] = []
    with DataPlane.from_config({"experimentFramework": {"dataPlane": written}}) as plane:
        publish, clock = plane.publish, time.perf_counter_ns
        began = clock()
        for event in made:
            before = clock()
            publish(event, correlation_id=CORRELATION_ID)
            taken.append(clock() - before)
        result = plane.flush(FLUSH_SECONDS)
        seconds = (clock() - began) / 1e9
    if not result.is_complete:
        raise RuntimeError(f"not everything arrived: {result}")
    return len(made) / seconds, taken
