"""Several processes on one database: side by side, and forked from one another."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from databases import Target
from experiment_framework.envelope import Record
from experiment_framework_sql import SqlBackplane

MakeBackplane = Callable[..., SqlBackplane]
MakeRecords = Callable[[int], list[Record]]

PLANE = """
import os, sys, time
from experiment_framework import DataPlane, Exposure

def exposure(subject):
    return Exposure(experiment_name="checkout", variant_key="b", subject_id=subject)

def make_plane(**options):
    return DataPlane.from_config({"experimentFramework": {"dataPlane": {
        "flushIntervalMs": 20, "batchSize": 50,
        "backplane": {"type": "sql", "options": {"url": sys.argv[1], **options}},
    }}})
"""

SIDE_BY_SIDE = """
with make_plane(autoMigrate=True) as plane:
    for number in range(500):
        plane.publish(exposure(f"{sys.argv[2]}:{number}"))
        if not number % 50:
            print(number, flush=True)
    result = plane.flush(60)
    assert result.delivered == 500, (result, plane.health())
"""

FORKED = """
plane = make_plane()
plane.publish(exposure("parent:before"))
assert plane.flush(20).delivered == 1
children = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        for number in range(20):
            plane.publish(exposure(f"child-{child}:{number}"))
        result = plane.flush(20)
        health = plane.health()
        code = 0 if result.delivered == 20 and health.is_healthy else 3
        if code:
            print(result, health, file=sys.stderr)
        plane.close()
        sys.exit(code)
    children.append(pid)
for number in range(20):
    plane.publish(exposure(f"parent:{number}"))
codes = [os.waitpid(pid, 0)[1] for pid in children]
for number in range(20, 40):
    plane.publish(exposure(f"parent:{number}"))
assert plane.flush(20).pending == 0
plane.close()
assert codes == [0, 0, 0], codes
"""


def start(source: str, target: Target, *arguments: str) -> subprocess.Popen[str]:
    quiet = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    return subprocess.Popen(
        [sys.executable, *quiet, "-c", PLANE + source, target.url, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate(timeout=90)
    assert (process.returncode, err) == (0, "")


def subjects(target: Target) -> Counter[str]:
    return Counter(row[0] for row in target.query("SELECT subject_id FROM experiment_events"))


def test_several_processes_write_and_one_of_them_makes_the_table(target: Target) -> None:
    names = ["a", "b", "c"]
    for process in [start(SIDE_BY_SIDE, target, name) for name in names]:
        finish(process)
    wanted = {f"{name}:{number}" for name in names for number in range(500)}
    assert subjects(target) == Counter(wanted)


def test_a_process_that_is_killed_leaves_whole_batches(target: Target) -> None:
    killed, other = (start(SIDE_BY_SIDE, target, name) for name in ("killed", "other"))
    assert killed.stdout is not None
    killed.stdout.readline()
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    finish(other)
    found = subjects(target)
    assert {f"other:{number}" for number in range(500)} <= set(found)
    assert set(found.values()) == {1}


def test_parent_and_children_write_each_on_connections_of_its_own(
    target: Target, make_backplane: MakeBackplane
) -> None:
    make_backplane(target).close(5)
    finish(start(FORKED, target))
    wanted = {f"child-{child}:{number}" for child in range(3) for number in range(20)}
    wanted |= {f"parent:{number}" for number in range(40)} | {"parent:before"}
    assert subjects(target) == Counter(wanted)


def test_a_file_that_another_process_has_locked_for_a_moment_is_waited_for(
    sqlite: Target, make_backplane: MakeBackplane
) -> None:
    path = sqlite.url.removeprefix("sqlite:///")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE others (x)")
    other.execute("BEGIN IMMEDIATE")  # with which SQLite itself does not wait for a new journal
    end = threading.Timer(0.3, other.execute, ["COMMIT"])
    end.start()
    make_backplane(sqlite)
    end.join()
    other.close()
    assert sqlite.query("PRAGMA journal_mode") == [("wal",)]


def test_the_file_is_its_owner_s_alone(
    sqlite: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    before = os.umask(0)
    try:
        backplane = make_backplane(sqlite)
        backplane.write_batch(records(1))
        folder = Path(sqlite.url.removeprefix("sqlite:///")).parent
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.db*")}
    finally:
        os.umask(before)
    assert "experiments.db-wal" in modes
    assert set(modes.values()) == {0o600}


def test_the_mode_of_a_file_that_is_there_is_left_as_it_is(
    sqlite: Target, make_backplane: MakeBackplane
) -> None:
    path = Path(sqlite.url.removeprefix("sqlite:///"))
    path.touch(mode=0o640)
    make_backplane(sqlite)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.usefixtures("make_backplane")
def test_nothing_is_open_before_the_first_batch(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    backplane = make_backplane(target)
    assert backplane._database._engine is None
    backplane.write_batch(records(1))
    backplane.close(5)
    assert backplane._database._engine is None
    assert json.loads(json.dumps(backplane.health().details)) is not None
