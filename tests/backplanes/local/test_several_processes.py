from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from experiment_framework.envelope import Record
from experiment_framework.plugin import DeliveryError, Query
from experiment_framework_local import FileBackplane
from filelock import FileLock

OpenFile = Callable[..., FileBackplane]

WRITE = """
import sys
from experiment_framework import Exposure
from experiment_framework.envelope import Envelope, encode
from experiment_framework_local import FileBackplane, FileOptions

path, name, batches, compression = sys.argv[1:]
backplane = FileBackplane(FileOptions(
    path=path, rotate_bytes=6000, compression=compression, fsync="never"))
backplane.open()
for batch in range(int(batches)):
    backplane.write_batch([
        encode(Envelope.around(Exposure(
            experiment_name="checkout", variant_key="a", subject_id=f"{name}:{batch * 5 + index}",
            attributes={"note": "x" * (batch * 37 % 900)})))
        for index in range(5)
    ])
    print(batch, flush=True)
backplane.close(20)
"""


def start(path: Path, name: str, batches: int, compression: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITE, str(path), name, str(batches), compression]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def subjects(backplane: FileBackplane) -> dict[str, list[int]]:
    found = defaultdict(list)
    for stored in backplane.read(Query()):
        name, _, number = json.loads(stored.body)["payload"]["subjectId"].partition(":")
        found[name].append(int(number))
    return dict(found)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_several_processes_share_a_file_across_rotations(
    open_file: OpenFile, path: Path, compression: str
) -> None:
    names = ["a", "b", "c"]
    writers = [start(path, name, 30, compression) for name in names]
    backplane = open_file()
    followed = backplane.read(Query(follow=True, idle_timeout=30))
    live = [json.loads(next(followed).body)["payload"]["subjectId"] for _ in range(3 * 150)]
    followed.close()
    for writer in writers:
        assert writer.communicate(timeout=60)[0].count("\n") == 30
        assert writer.returncode == 0
    assert subjects(backplane) == {name: list(range(150)) for name in names}
    assert sorted(live) == sorted(f"{name}:{number}" for name in names for number in range(150))
    assert backplane.health().details["linesSkipped"] == 0
    sizes = [file.stat().st_size for file in path.parent.glob("events*.jsonl")]
    assert max(sizes) <= 6000


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_writer_that_is_killed_takes_nothing_with_it_that_it_had_reported(
    open_file: OpenFile, path: Path, record: Callable[..., Record]
) -> None:
    writer = start(path, "killed", 1_000_000, "gzip")
    assert writer.stdout
    for _ in range(20):
        reported = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    rest = writer.communicate(timeout=20)[0].split("\n")
    reported = max([reported, *(int(line) for line in rest[:-1])])
    backplane = open_file()
    backplane.write_batch([record("after:0")])
    found = subjects(backplane)
    assert found["after"] == [0]
    assert found["killed"] == list(range(len(found["killed"])))
    assert len(found["killed"]) >= (reported + 1) * 5
    assert backplane.health().details["linesSkipped"] == 0


def test_a_process_that_holds_the_lock_for_too_long_is_reported(
    open_file: OpenFile, path: Path, record: Callable[..., Record]
) -> None:
    backplane = open_file(lock_timeout_ms=50)
    lock = path.with_name("events.jsonl.lock")
    with FileLock(lock):
        began = time.monotonic()
        with pytest.raises(DeliveryError, match=f"another process held {lock} for 0.05 s"):
            backplane.write_batch([record()])
        assert time.monotonic() - began < 5
        assert backplane.health().status == "UNHEALTHY"
    backplane.write_batch([record()])
    assert backplane.health().is_healthy
