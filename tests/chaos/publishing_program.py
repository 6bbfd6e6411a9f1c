"""The program that the chaos tests run, stop, kill and start again.

It publishes until it is told to finish, and notes what each publish answered, as soon as it did, in
a file of its own: what is written there survives it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from experiment_framework import DataPlane, DeliveryReport, Exposure


def main() -> None:
    arguments = _arguments()
    note = _notes(arguments.log)

    def note_fate(report: DeliveryReport) -> None:
        note(f"{report.status} {report.record.event_id} {report.reason}\n")

    on_delivery = note_fate if arguments.note_fates else None
    plane = DataPlane.from_config(arguments.config, on_delivery=on_delivery)
    is_over = threading.Event()
    threads = [
        threading.Thread(target=_publish, args=(plane, worker, arguments.pause, is_over, note))
        for worker in range(arguments.threads)
    ]
    for thread in threads:
        thread.start()
    budget = float(sys.stdin.readline() or 0)
    is_over.set()
    for thread in threads:
        thread.join()
    plane.flush(budget)
    replayed = plane.health().details.get("replayed", 0)
    plane.close(5)
    outcome = {"stats": plane.stats(), "replayed": replayed}
    arguments.outcome.write_bytes(msgspec.json.encode(outcome))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("outcome", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.001)
    parser.add_argument("--note-fates", action="store_true")
    return parser.parse_args()


def _notes(path: Path) -> Callable[[str], object]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return lambda line: os.write(descriptor, line.encode())


def _publish(
    plane: DataPlane,
    worker: int,
    pause: float,
    is_over: threading.Event,
    note: Callable[[str], object],
) -> None:
    for number in itertools.count():
        if is_over.is_set():
            return
        receipt = plane.publish(
            Exposure(
                experiment_name=f"experiment-{number % 3}",
                variant_key="ab"[number % 2],
                subject_id=f"user-{worker}-{number % 50}",
                attributes={"number": number, "filler": "." * (number % 200)},
            )
        )
        note(f"{receipt.status} {receipt.event_id} {receipt.reason}\n")
        time.sleep(pause)


if __name__ == "__main__":
    main()
