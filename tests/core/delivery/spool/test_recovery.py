"""What a process leaves is found by the next one."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from experiment_framework._delivery.spool import Spool
from experiment_framework._delivery.spool.state import read_state
from experiment_framework.envelope import Record

MakeSpool = Callable[..., Spool]
MakeRecord = Callable[..., Record]
Ids = Callable[[Spool], list[int]]
Abandon = Callable[[Spool], None]

PROGRAM = """
    import sys
    from experiment_framework._delivery.spool import Spool
    from experiment_framework.envelope import Record

    BODY = (
        b'{"eventId":"%d","timestamp":"2026-01-02T03:04:05.000006Z","eventType":"Outcome",'
        b'"schemaVersion":"1.0.0","payload":{"filler":"%s"}}'
    )

    def record_of(number):
        return Record.from_body(BODY % (number, b"." * (number % 1000)))

    spool = Spool(
        sys.argv[1], max_bytes=2**30, when_full="reject", fsync="group", segment_bytes=65536
    )
    spool.open()
"""
APPEND_FOR_EVER = """
    number = 0
    while True:
        spool.append(record_of(number))
        number += 1
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
"""


@pytest.fixture
def start(directory: Path) -> Callable[[str], subprocess.Popen[str]]:
    def run(program: str) -> subprocess.Popen[str]:
        code = dedent(PROGRAM) + dedent(program)
        return subprocess.Popen(
            [sys.executable, "-c", code, str(directory)],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )

    return run


@pytest.mark.parametrize("name", ["2024-11", "00002024-11", "00000001-1"])
def test_a_folder_of_somebody_else_is_left_where_it_is(
    make_spool: MakeSpool, directory: Path, name: str
) -> None:
    report = directory / name / "report.csv"
    report.parent.mkdir(parents=True)
    report.write_text("mine")
    make_spool().close()
    assert report.read_text() == "mine"


def test_a_link_to_a_folder_is_left_where_it_is(
    make_spool: MakeSpool, make_record: MakeRecord, abandon: Abandon, directory: Path
) -> None:
    spool = make_spool()
    spool.append(make_record(1))
    abandon(spool)
    [folder] = folders_of(directory)
    elsewhere = folder.rename(directory.parent / folder.name)
    link = directory / folder.name
    link.symlink_to(elsewhere)
    assert make_spool().recovered == 0
    assert link.is_symlink()
    assert list(elsewhere.glob("*.segment"))


def test_a_folder_that_cannot_be_read_holds_no_other_back(
    make_spool: MakeSpool,
    make_record: MakeRecord,
    ids: Ids,
    abandon: Abandon,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spools = [make_spool(), make_spool()]
    for number, spool in enumerate(spools):
        spool.append(make_record(number))
    for spool in spools:
        abandon(spool)
    broken = min(folders_of(directory))
    listdir = os.listdir

    def listed(path: str) -> list[str]:
        if Path(path) == broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", listed)
    assert ids(make_spool()) == [1]
    assert broken in folders_of(directory)


def folders_of(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if "-" in path.name]


def test_what_a_killed_process_appended_is_found_whole(
    make_spool: MakeSpool, ids: Ids, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    for round_ in range(8):
        with start(APPEND_FOR_EVER) as process:
            assert process.stdout is not None
            answered = [int(process.stdout.readline()) for _ in range(1 + round_ * 150)][-1]
            process.send_signal(signal.SIGKILL)
            answered += len(process.stdout.readlines())
        spool = make_spool()
        # One more may be there: it was written, and nobody was told.
        assert spool.recovered in (answered, answered + 1)
        assert ids(spool) == list(range(spool.recovered))
        assert spool.corrupt == 0
        spool.close()
        shutil.rmtree(spool.directory)


def test_a_kill_between_hand_out_and_acknowledgement_repeats_and_loses_nothing(
    make_spool: MakeSpool, ids: Ids, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    program = """
        for number in range(5000):
            spool.append(record_of(number))
        acknowledged = 0
        for place, record in spool.pending():
            spool.acknowledge(place)
            acknowledged += 1
            if acknowledged % 100 == 0:
                sys.stdout.write(f"{acknowledged}\\n")
                sys.stdout.flush()
            if acknowledged == 3000:
                spool.sync()
        sys.stdin.read()
    """
    with start(program) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 4000:
            pass
        process.kill()
        told = [4000, *map(int, process.stdout)][-1]
    again = ids(make_spool())
    # Which of the acknowledged ones come again depends on what was deleted when it was killed.
    assert again == sorted(set(again))
    assert not again or again[0] >= 3000
    assert set(range(told + 100, 5000)) <= set(again)


def test_the_folder_of_a_living_process_is_left_alone(
    make_spool: MakeSpool,
    ids: Ids,
    start: Callable[[str], subprocess.Popen[str]],
) -> None:
    program = """
        spool.append(record_of(7))
        print("there", flush=True)
        sys.stdin.read()
    """
    with start(program) as process:
        assert process.stdout is not None
        process.stdout.readline()
        spool = make_spool()
        assert spool.recovered == 0
        process.kill()
        process.wait(10)
        assert spool.adopt() == 1
        assert spool.adopt() == 0
        assert ids(spool) == [7]


def test_orphans_are_adopted_by_exactly_one_of_several_processes(
    make_spool: MakeSpool,
    make_record: MakeRecord,
    abandon: Abandon,
    start: Callable[[str], subprocess.Popen[str]],
) -> None:
    for number in range(10):
        spool = make_spool()
        for inner in range(20):
            spool.append(make_record(number * 100 + inner))
        spool.sync()
        abandon(spool)
    program = """
        print(spool.recovered, flush=True)
        sys.stdin.read()
    """
    processes = [start(program) for _ in range(4)]
    counts = [int(process.stdout.readline()) for process in processes if process.stdout]
    for process in processes:
        process.communicate()
    assert sum(counts) == 200


def test_what_was_adopted_by_a_process_that_dies_is_adopted_again(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, abandon: Abandon, directory: Path
) -> None:
    for number in range(4):
        spool = make_spool()
        assert spool.depth == number
        spool.append(make_record(number))
        abandon(spool)
    last = make_spool()
    assert len(folders_of(directory)) == 1
    assert ids(last) == [0, 1, 2, 3]


def test_an_adopted_folder_goes_when_its_last_record_is_acknowledged(
    make_spool: MakeSpool, make_record: MakeRecord, abandon: Abandon, directory: Path
) -> None:
    spool = make_spool()
    spool.append(make_record(1))
    abandon(spool)
    heir = make_spool()
    [own] = folders_of(directory)
    assert len(folders_of(own)) == 1
    for place, _ in heir.pending():
        heir.acknowledge(place)
    heir.sync()
    assert folders_of(own) == []
    heir.append(make_record(2))
    assert heir.depth == 1


def test_records_that_were_left_come_before_new_ones(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, abandon: Abandon
) -> None:
    spool = make_spool()
    for number in range(3):
        spool.append(make_record(number))
    abandon(spool)
    heir = make_spool()
    heir.append(make_record(3))
    assert ids(heir) == [0, 1, 2, 3]


def test_a_restart_repeats_nothing_whose_acknowledgement_was_stored(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, abandon: Abandon
) -> None:
    spool = make_spool(segment_bytes=4096)
    places = [spool.append(make_record(number)) for number in range(300)]
    for place in places:
        if place.index % 3:
            spool.acknowledge(place)
    left = spool.depth
    spool.sync()
    abandon(spool)
    heir = make_spool()
    assert (heir.recovered, heir.depth) == (left, left)
    batch = list(heir.pending())
    assert len(batch) == left
    for place, _ in batch:
        heir.acknowledge(place)
    assert heir.corrupt == 0


def test_acknowledgements_are_stored_without_being_asked(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, abandon: Abandon, directory: Path
) -> None:
    spool = make_spool()
    places = [spool.append(make_record(number)) for number in range(10)]
    for place in places[:9]:
        spool.acknowledge(place)
    [path] = directory.rglob("*.segment")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        stored = read_state(path.with_suffix(".state"))
        if stored is not None and (stored.count, stored.pending) == (10, 1):
            break
        time.sleep(0.01)
    abandon(spool)
    assert ids(make_spool()) == [9]


def test_a_forked_child_has_nothing_and_leaves_its_parents_folder_alone(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, directory: Path
) -> None:
    spool = make_spool()
    for number in range(5):
        spool.append(make_record(number))
    spool.next_batch(2)
    before = {path: path.read_bytes() for path in directory.rglob("*.segment")}
    child = os.fork()
    if not child:
        code = 1
        try:
            assert (spool.depth, spool.recovered, spool.next_batch(5)) == (0, 0, [])
            assert spool.adopt() == 0  # the parent lives, and its lock is still held
            spool.append(make_record(100))
            assert ids(spool) == [100]
            spool.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert {path: path.read_bytes() for path in before} == before
    assert spool.depth == 5
    assert ids(spool) == [2, 3, 4]
    assert spool.adopt() == 1
    assert ids(spool) == [100]


def test_a_child_that_was_forked_in_the_midst_of_another_threads_work_goes_on(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make_spool(fsync="group")
    is_syncing, is_held, done = (threading.Event() for _ in range(3))
    parent = os.getpid()

    def sync_for_ever(_: int) -> None:
        if os.getpid() == parent:
            is_syncing.set()
            done.wait(60)

    def hold() -> None:
        with spool.lock:
            is_held.set()
            done.wait(60)

    monkeypatch.setattr(os, "fdatasync", sync_for_ever)
    spool.append(make_record(1))
    spool.next_batch(1)
    assert is_syncing.wait(10)
    thread = threading.Thread(target=hold)
    thread.start()
    assert is_held.wait(10)
    child = os.fork()
    if not child:
        code = 1
        try:
            spool.append(make_record(2))
            assert ids(spool) == [2]
            spool.sync()
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + 20
    while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < deadline:
        time.sleep(0.01)
    if not ended[0]:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    done.set()
    thread.join()
    assert ended == (child, 0)


def test_a_child_that_outlives_its_parent_does_not_hold_its_records_back(
    make_spool: MakeSpool, start: Callable[[str], subprocess.Popen[str]], ids: Ids
) -> None:
    program = """
        import os, time
        spool.append(record_of(1))
        if not os.fork():
            os.close(1)
            sys.stdin.read()
            os._exit(0)
        print("forked", flush=True)
        sys.stdin.read()
    """
    with start(program) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.wait(10)
        assert ids(make_spool()) == [1]


def test_signal_handlers_that_append_leave_everything_whole(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, abandon: Abandon
) -> None:
    spool = make_spool(segment_bytes=8192)
    nested: list[int] = []
    depth = 0

    def append_nested(*_: object) -> None:
        nonlocal depth
        if depth == 4:
            return
        depth += 1
        number = 1_000_000 + len(nested)
        nested.append(number)
        place = spool.append(make_record(number))
        spool.sync()
        spool.next_batch(0)
        if len(nested) % 2:
            spool.release(place)
        depth -= 1

    previous = signal.signal(signal.SIGUSR1, append_nested)
    stop = threading.Event()

    def storm() -> None:
        while not stop.wait(0.0002):
            os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        count = 0
        deadline = time.monotonic() + 20
        while len(nested) < 300 and time.monotonic() < deadline:
            spool.append(make_record(count))
            count += 1
    finally:
        stop.set()
        thread.join()
        signal.signal(signal.SIGUSR1, previous)
    assert spool.depth == count + len(nested)
    spool.sync()
    abandon(spool)
    heir = make_spool()
    assert heir.recovered == count + len(nested)
    found = ids(heir)
    assert sorted(found) == [*range(count), *nested]
    assert [number for number in found if number < 1_000_000] == list(range(count))
    assert heir.corrupt == 0
