"""What keeping records on disk costs: the spool's figures, and the choice of its storage.

Runs by itself: ``python -m bench.spool [--records N] [--open N]``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
from experiment_framework._delivery.spool import Place, Spool
from experiment_framework._delivery.spool.frames import frame_of
from experiment_framework.envelope import Record

from bench.report import Spread, table

BODY = (
    b'{"eventId":"0192f0c1-aaaa-7bbb-8ccc-000000000001",'
    b'"timestamp":"2026-01-01T00:00:00.000000Z","eventType":"Exposure","schemaVersion":"1.0.0",'
    b'"payload":{"experimentName":"checkout","variantKey":"treatment","subjectId":"user-123",'
    b'"attributes":{"filler":"%s"}},"correlationId":null}'
)
GROUP = 1000
SINGLES = 100
ROUNDS = 30
WAIT = 600.0


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.spool", description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--open", type=int, default=0, help="records in a spool that is opened")
    chosen = parser.parse_args()
    record = Record.from_body(BODY % (b"." * 230))
    measure_storage(record.body)
    measure_spool(record, chosen.records)
    if chosen.open:
        measure_opening(chosen.open)


def measure_storage(body: bytes) -> None:
    """Print what a record costs in the two kinds of storage, one by one and in groups."""
    rows = [
        ["SQLite, synchronous OFF", *_sqlite(body, "OFF")],
        ["SQLite, synchronous NORMAL", *_sqlite(body, "NORMAL")],
        ["SQLite, synchronous FULL", *_sqlite(body, "FULL")],
        ["frames, not synced", *_frames(body, sync=False)],
        ["frames, fdatasync", *_frames(body, sync=True)],
    ]
    title = f"storage: µs per record of {len(body)} bytes"
    table(title, ["", "one by one", f"in groups of {GROUP}"], rows)


def measure_spool(record: Record, count: int) -> None:
    """Print what the spool makes of it."""
    rows = []
    for fsync in ("never", "group"):
        for beside in ("nothing", "a busy thread"):
            with _folder() as folder, _busy(beside != "nothing"):
                rows.append([f"{fsync}, beside {beside}", *_use(folder, record, count, fsync)])
    table(
        f"spool: µs per record of {len(record.body)} bytes, in rounds of {GROUP}",
        ["fsync", "append", "hand out", "acknowledge"],
        rows,
    )


def measure_opening(count: int) -> None:
    """Print how long it takes to open a spool that was left full, and what memory it takes."""
    record = Record.from_body(
        b'{"eventId":"1","timestamp":"2026-01-01T00:00:00Z","eventType":"Exposure",'
        b'"schemaVersion":"1.0.0","payload":{}}'
    )
    with _folder() as folder:
        left = _spool(folder, "never")
        for _ in range(count):
            left.append(record)
        left.after_fork()  # as a process that is killed
        process = psutil.Process()
        memory = process.memory_info().rss
        spool = Spool(folder, max_bytes=2**40, when_full="reject", fsync="never")
        seconds = _timed(spool.open)
        grown = process.memory_info().rss - memory
        print(f"opened {spool.depth:,} records in {seconds:.2f} s, {grown / 2**20:+.1f} MiB")


def _use(folder: Path, record: Record, count: int, fsync: str) -> list[str]:
    spool = _spool(folder, fsync)
    places: list[Place] = []

    def append() -> None:
        for _ in range(GROUP):
            spool.append(record)

    def hand_out() -> None:
        places.extend(place for place, _ in spool.next_batch(GROUP))

    def acknowledge() -> None:
        for place in places[-GROUP:]:
            spool.acknowledge(place)
        del places[-GROUP:]

    figures = [str(_rounds(measured, count)) for measured in (append, hand_out, acknowledge)]
    spool.close()
    return figures


def _rounds(measured: Callable[[], object], count: int) -> Spread:
    return Spread([_timed(measured) / GROUP * 1e6 for _ in range(count // GROUP)])


def _sqlite(body: bytes, synchronous: str) -> list[str]:
    with _folder() as folder, closing(sqlite3.connect(folder / "spool.db")) as database:
        database.isolation_level = None
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(f"PRAGMA synchronous={synchronous}")
        database.execute("CREATE TABLE records (id INTEGER PRIMARY KEY, key INTEGER, body BLOB)")
        insert = "INSERT INTO records (key, body) VALUES (?, ?)"

        def one_by_one() -> None:
            for _ in range(SINGLES):
                database.execute(insert, (7, body))

        def grouped() -> None:
            database.execute("BEGIN")
            database.executemany(insert, [(7, body)] * GROUP)
            database.execute("COMMIT")

        return [_spread(one_by_one, SINGLES), _spread(grouped, GROUP)]


def _frames(body: bytes, *, sync: bool) -> list[str]:
    with _folder() as folder:
        descriptor = os.open(folder / "frames", os.O_RDWR | os.O_CREAT, 0o600)

        def one_by_one() -> None:
            for number in range(SINGLES):
                os.write(descriptor, frame_of(body, number))
                if sync:
                    os.fdatasync(descriptor)

        def grouped() -> None:
            frames = (frame_of(body, number) for number in range(GROUP))
            os.write(descriptor, b"".join(frames))
            if sync:
                os.fdatasync(descriptor)

        figures = [_spread(one_by_one, SINGLES), _spread(grouped, GROUP)]
        os.close(descriptor)
    return figures


def _spool(folder: Path, fsync: str) -> Spool:
    spool = Spool(folder, max_bytes=2**40, when_full="reject", fsync=fsync)  # type: ignore[arg-type]  # one of a loop's literals
    spool.open()
    return spool


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="bench-spool-"))
    yield folder
    shutil.rmtree(folder)


@contextmanager
def _busy(is_busy: bool) -> Iterator[None]:
    done = threading.Event()

    def spin() -> None:
        while not done.is_set():
            sum(range(100))

    thread = threading.Thread(target=spin)
    if is_busy:
        thread.start()
    yield
    done.set()
    if is_busy:
        thread.join(WAIT)


def _spread(measured: Callable[[], object], count: int) -> str:
    return str(Spread([_timed(measured) / count * 1e6 for _ in range(ROUNDS)]))


def _timed(measured: Callable[[], object]) -> float:
    start = time.perf_counter()
    measured()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
