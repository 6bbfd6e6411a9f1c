"""Resident memory while many events pass through a data plane.

Runs as a program in a process of its own: ``python -m bench.memory SERVERS EVENTS``.
"""

from __future__ import annotations

import json
import subprocess
import sys

import psutil

from bench.report import table
from bench.workload import make_event, make_plane

SAMPLES = 10


def measure_memory(servers: str, *, events: int) -> None:
    """Print resident memory after each tenth of the events."""
    command = [sys.executable, "-m", "bench.memory", servers, str(events)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    samples = measured["samples"]
    table(
        f"resident memory over {events:,} events, in MiB",
        ["start", *(f"{(number + 1) * 100 // SAMPLES} %" for number in range(SAMPLES))],
        [[f"{value / 2**20:.0f}" for value in samples]],
    )
    growth = (samples[-1] - samples[1]) / 2**20
    print(
        f"from the first tenth to the last: {growth:+.1f} MiB; "
        f"{measured['delivered']:,} delivered, {measured['dropped']:,} dropped"
    )


def main(servers: str, events: int) -> None:
    """Publish, and print what the memory was on the way."""
    process = psutil.Process()
    with make_plane(servers, failure_mode="block") as plane:
        samples = [process.memory_info().rss]
        for _ in range(SAMPLES):
            for number in range(events // SAMPLES):
                plane.publish(make_event(number))
            plane.flush(60)
            samples.append(process.memory_info().rss)
    stats = plane.stats()
    result = {"samples": samples, "delivered": stats.delivered, "dropped": stats.dropped_total}
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
