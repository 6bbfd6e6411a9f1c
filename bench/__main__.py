"""Measures what has a target, and prints it. Nothing here passes or fails.

make bench                                       mock cluster, then Apache Kafka if it is there
make bench ARGS="--cluster mock --rounds 3"
make bench ARGS="--cluster broker1:9092 --only publishing"
"""

from __future__ import annotations

import argparse
import platform

from bench.clusters import cluster
from bench.databases import measure_databases
from bench.members import measure_members
from bench.memory import measure_memory
from bench.publishing import measure_publishing
from bench.report import heading
from bench.spooling import measure_spooling
from bench.startup import measure_startup

PARTS = ("startup", "databases", "members", "publishing", "spooling", "memory")


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cluster", action="append", help="mock, apache, or host:port,…")
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--events", type=int, default=50_000, help="in one round")
    parser.add_argument("--memory-events", type=int, default=500_000)
    chosen = parser.parse_args()
    parts = chosen.only or PARTS

    print(f"Python {platform.python_version()} on {platform.machine()}, {platform.system()}")
    if "startup" in parts:
        heading("starting")
        measure_startup(rounds=chosen.rounds)
    if "databases" in parts:
        heading("databases")
        measure_databases(rounds=chosen.rounds, events=chosen.events)
    if "members" in parts:
        heading("several backplanes")
        measure_members(rounds=chosen.rounds, events=chosen.events)
    if set(parts) & {"publishing", "spooling", "memory"}:
        for name in chosen.cluster or ("mock", "apache"):
            heading(f"cluster: {name}")
            try:
                with cluster(name) as servers:
                    if "publishing" in parts:
                        measure_publishing(servers, rounds=chosen.rounds, events=chosen.events)
                    if "spooling" in parts:
                        measure_spooling(servers, rounds=chosen.rounds, events=chosen.events)
                    if "memory" in parts:
                        measure_memory(servers, events=chosen.memory_events)
            except LookupError as missing:
                print(f"left out: {missing}")


if __name__ == "__main__":
    main()
