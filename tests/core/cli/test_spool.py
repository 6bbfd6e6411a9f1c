"""``experiment spool``: on what a killed process has left, and beside one that runs."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from click.testing import Result

EXPERIMENT = Path(sys.executable).with_name("experiment")

Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[bytes]"]
TwoFolders = Callable[[], "tuple[Path, Path]"]
Writer = Callable[[int], "subprocess.Popen[str]"]

PROGRAM = dedent(
    """
    import os, sys, threading
    from experiment_framework import DataPlane, Outcome
    from experiment_framework.dataplane_options import DataPlaneOptions, SpoolOptions
    from experiment_framework.plugin import Backplane, options

    @options
    class NoOptions:
        pass

    class Stuck(Backplane[NoOptions]):
        def write_batch(self, records):
            threading.Event().wait()

    spool = SpoolOptions(directory=sys.argv[1], mode="writeAhead")
    plane = DataPlane(Stuck(NoOptions()), DataPlaneOptions(spool=spool))
    for n in range(int(sys.argv[2])):
        outcome = Outcome(
            experiment_name=f"e{n % 3}", variant_key="v", subject_id=f"s{n}", metric_name="m",
            outcome_type="Count", value=n,
        )
        receipt = plane.publish(outcome, event_id=f"{os.getpid()}-{n}")
        assert receipt.status in ("accepted", "spooled"), receipt
    print("ready", flush=True)
    threading.Event().wait()
    """
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def config(tmp_path: Path, directory: Path) -> Path:
    """A configuration whose events land in ``events.jsonl``, with a spool."""
    path = tmp_path / "experiments.yaml"
    path.write_text(configuration(directory, f"file, options: {{path: {events(tmp_path)}}}"))
    return path


@pytest.fixture
def config_when_down(tmp_path: Path, directory: Path) -> Path:
    """The same with a broker that is not there."""
    path = tmp_path / "down.yaml"
    path.write_text(configuration(directory, "kafka, options: {brokers: '127.0.0.1:1'}"))
    return path


def configuration(directory: Path, backplane: str) -> str:
    return (
        "experimentFramework:\n"
        "  dataPlane:\n"
        "    failureMode: spool\n"
        f"    spool: {{directory: {directory}}}\n"
        f"    backplane: {{type: {backplane}}}\n"
    )


def events(folder: Path) -> Path:
    return folder / "events.jsonl"


def ids_in(lines: str) -> list[str]:
    return [json.loads(line)["eventId"] for line in lines.splitlines()]


@pytest.fixture
def running(directory: Path) -> Iterator[Writer]:
    """Start a process whose records all wait; it is gone after the test."""
    processes: list[subprocess.Popen[str]] = []

    def running(count: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(directory), str(count)],
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield running
    for process in processes:
        kill(process)


@pytest.fixture
def killed(running: Writer) -> Writer:
    """Leave what a process leaves that is killed while its records wait."""

    def killed(count: int) -> subprocess.Popen[str]:
        return kill(running(count))

    return killed


@pytest.fixture
def two_killed(running: Writer, directory: Path) -> TwoFolders:
    """Leave ten records of each of two processes, in the folders that are given."""

    def two_killed() -> tuple[Path, Path]:
        processes = [running(10), running(10)]
        for process in processes:
            kill(process)
        first, second = (next(directory.glob(f"*-{each.pid}")) for each in processes)
        return first, second

    return two_killed


def kill(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    return process


def ids_of(process: subprocess.Popen[str], count: int) -> list[str]:
    return [f"{process.pid}-{number}" for number in range(count)]


def contents(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file()
    }


def only_segment(directory: Path) -> Path:
    (segment,) = directory.rglob("*.segment")
    return segment


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x55
    path.write_bytes(content)


def test_ls_tells_dead_processes_from_running_ones(
    run: Run, config: Path, killed: Writer, running: Writer
) -> None:
    alive = running(20)
    dead = killed(30)

    shown = run("spool", "ls", config).stdout
    document = json.loads(run("spool", "ls", config, "--json").stdout)

    rows = [
        (row["folder"], row["processId"], row["alive"], row["records"], row["corrupt"])
        for row in document["folders"]
    ]
    assert rows == [
        (f"00000001-{alive.pid}", alive.pid, True, 20, 0),
        (f"00000002-{dead.pid}", dead.pid, False, 30, 0),
    ]
    assert all(0 <= row["oldestAgeSeconds"] < 600 for row in document["folders"])
    assert document["records"] == 50
    assert f"{alive.pid} running" in shown
    assert f"{dead.pid} dead" in shown
    assert "50 records in" in shown


def test_what_a_running_process_has_adopted_is_its_own(
    run: Run, config: Path, killed: Writer, running: Writer
) -> None:
    dead = killed(30)
    alive = running(20)

    document = json.loads(run("spool", "ls", config, "--json").stdout)

    rows = [(row["folder"], row["processId"], row["alive"]) for row in document["folders"]]
    assert rows == [
        (f"00000002-{alive.pid}/00000001-{dead.pid}", alive.pid, True),
        (f"00000002-{alive.pid}", alive.pid, True),
    ]
    assert document["records"] == 50


@pytest.mark.parametrize("command", ["ls", "show", "verify", "export"])
def test_commands_that_read_change_nothing(
    run: Run, config: Path, directory: Path, killed: Writer, command: str
) -> None:
    killed(10)
    before = contents(directory)

    assert run("spool", command, config).exit_code == 0

    assert contents(directory) == before


def test_show_prints_the_oldest_first(
    run: Run, config: Path, killed: Writer, running: Writer
) -> None:
    alive = running(10)
    dead = killed(10)

    result = run("spool", "show", config, "--json")

    assert result.exit_code == 0
    assert ids_in(result.stdout) == ids_of(alive, 10) + ids_of(dead, 10)


def test_show_filters_as_tail_does(run: Run, config: Path, killed: Writer) -> None:
    dead = killed(30)

    shown = run("spool", "show", config, "--experiment", "e1", "--type", "outcome", "--limit", "4")

    lines = shown.stdout.splitlines()
    assert len(lines) == 4
    assert all("Outcome" in line and "e1" in line for line in lines)
    assert f"00000001-{dead.pid}/00000000.segment@" in lines[0]
    assert run("spool", "show", config, "--variant", "other").stdout == ""
    assert run("spool", "show", config, "--type", "Exposure").stdout == ""


def test_verify_finds_a_sound_spool_sound(
    run: Run, config: Path, killed: Writer, running: Writer
) -> None:
    running(10)
    killed(10)

    result = run("spool", "verify", config, "--json")

    assert result.exit_code == 0
    verdict = json.loads(result.stdout)
    assert (verdict["segments"], verdict["records"], verdict["lost"]) == (2, 20, 0)
    assert verdict["damages"] == []


def test_verify_says_where_a_record_is_damaged(
    run: Run, config: Path, directory: Path, killed: Writer
) -> None:
    dead = killed(10)
    path = only_segment(directory)
    flip(path, 30)
    first = path.read_bytes().index(b"\xfeXS\x01", 1)

    result = run("spool", "verify", config, "--json")
    shown = run("spool", "verify", config)

    assert (result.exit_code, shown.exit_code) == (1, 1)
    verdict = json.loads(result.stdout)
    segment = f"00000001-{dead.pid}/00000000.segment"
    assert verdict["damages"] == [
        {"segment": segment, "start": 0, "end": first, "kind": "unreadable"}
    ]
    assert verdict["lost"] == 1
    assert segment in shown.stdout


def test_a_write_that_was_cut_short_is_no_loss(
    run: Run, config: Path, directory: Path, killed: Writer
) -> None:
    killed(10)
    path = only_segment(directory)
    with path.open("ab") as stream:
        stream.write(path.read_bytes()[:40])

    result = run("spool", "verify", config, "--json")

    assert result.exit_code == 0
    verdict = json.loads(result.stdout)
    assert [each["kind"] for each in verdict["damages"]] == ["cutShort"]
    assert (verdict["records"], verdict["lost"]) == (10, 0)


def test_what_is_exported_can_be_published(
    run: Run, config: Path, tmp_path: Path, killed: Writer
) -> None:
    dead = killed(30)
    output = tmp_path / "out.jsonl"

    exported = run("spool", "export", config, output, "--json")
    published = run("publish", config, output)

    assert json.loads(exported.stdout) == {
        "output": str(output),
        "records": 30,
        "lost": 0,
        "unreadable": [],
    }
    assert output.stat().st_mode & 0o777 == 0o600
    assert published.exit_code == 0, published.output
    assert ids_in(events(tmp_path).read_text()) == ids_of(dead, 30)


def test_export_leaves_out_what_is_damaged_and_says_so(
    run: Run, config: Path, directory: Path, killed: Writer
) -> None:
    dead = killed(10)
    flip(only_segment(directory), 30)

    result = run("spool", "export", config)

    assert result.exit_code == 1
    assert ids_in(result.stdout) == ids_of(dead, 10)[1:]
    assert "1 records cannot be read" in result.stderr
    assert "00000000.segment@0" in result.stderr


def test_export_writes_over_nothing_unless_it_is_told_to(
    run: Run, config: Path, tmp_path: Path, killed: Writer
) -> None:
    killed(1)
    output = tmp_path / "out.jsonl"
    output.write_text("mine")

    refused = run("spool", "export", config, output)

    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert output.read_text() == "mine"
    assert run("spool", "export", config, output, "--force").exit_code == 0
    assert output.read_text() != "mine"


def test_replay_sends_what_the_dead_have_left_and_only_that(
    start: Start, run: Run, config: Path, tmp_path: Path, killed: Writer, running: Writer
) -> None:
    alive = running(20)
    dead = killed(500)

    output, notes = start("spool", "replay", config, "--json").communicate(timeout=60)

    assert json.loads(output) == {
        "recovered": 500,
        "delivered": 500,
        "failed": 0,
        "dropped": {},
        "remaining": 0,
        "running": 20,
        "unreadable": [],
    }, notes
    assert ids_in(events(tmp_path).read_text()) == ids_of(dead, 500)
    rest = json.loads(run("spool", "ls", config, "--json").stdout)
    assert [(row["processId"], row["records"]) for row in rest["folders"]] == [(alive.pid, 20)]


def test_what_replay_cannot_deliver_stays(
    start: Start, run: Run, config: Path, config_when_down: Path, killed: Writer, tmp_path: Path
) -> None:
    dead = killed(20)

    replay = start("spool", "replay", config_when_down, "--json", "--timeout", "1")
    summary = json.loads(replay.communicate(timeout=60)[0])

    assert replay.returncode == 1
    assert (summary["recovered"], summary["delivered"], summary["remaining"]) == (20, 0, 20)
    assert run("spool", "replay", config).exit_code == 0
    assert ids_in(events(tmp_path).read_text()) == ids_of(dead, 20)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_replay_that_is_interrupted_loses_nothing(
    start: Start,
    run: Run,
    config_when_down: Path,
    directory: Path,
    killed: Writer,
    number: int,
    code: int,
) -> None:
    killed(20)
    replay = start("spool", "replay", config_when_down, "--timeout", "60")
    deadline = time.monotonic() + 60
    while not list(directory.glob(f"*-{replay.pid}/*/*.segment")):
        assert time.monotonic() < deadline
        time.sleep(0.01)

    replay.send_signal(number)
    output, _ = replay.communicate(timeout=60)

    assert replay.returncode == code
    assert b"20  on disk, interrupted" in output
    assert json.loads(run("spool", "ls", config_when_down, "--json").stdout)["records"] == 20


def test_damage_found_by_a_replay_is_a_failure_and_is_kept_aside(
    run: Run, config: Path, directory: Path, killed: Writer
) -> None:
    dead = killed(10)
    flip(only_segment(directory), 30)

    result = run("spool", "replay", config, "--json")
    kept = json.loads(run("spool", "ls", config, "--json").stdout)["keptAside"]
    purged = json.loads(run("spool", "purge", config, "--yes", "--corrupt", "--json").stdout)

    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert (summary["delivered"], summary["dropped"]) == (9, {"spool_corrupt": 1})
    assert kept["files"] == 1, dead.pid
    assert purged["keptAsideFiles"] == 1
    assert not list((directory / "corrupt").iterdir())


def test_purge_deletes_what_the_dead_have_left_and_only_that(
    run: Run, config: Path, killed: Writer, running: Writer
) -> None:
    alive = running(20)
    dead = killed(30)

    result = run("spool", "purge", config, "--yes", "--json")

    assert result.exit_code == 0
    purged = json.loads(result.stdout)
    assert (purged["folders"], purged["records"]) == ([f"00000002-{dead.pid}"], 30)
    rest = json.loads(run("spool", "ls", config, "--json").stdout)
    assert [(row["processId"], row["records"]) for row in rest["folders"]] == [(alive.pid, 20)]
    assert run("spool", "verify", config).exit_code == 0


def test_purge_without_a_terminal_needs_to_be_told(
    run: Run, config: Path, directory: Path, killed: Writer
) -> None:
    killed(10)
    before = contents(directory)

    result = run("spool", "purge", config)

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert contents(directory) == before


@pytest.mark.parametrize(("answer", "code", "left"), [(b"n\n", 1, 10), (b"y\n", 0, 0)])
def test_purge_asks_first(
    start: Start, run: Run, config: Path, killed: Writer, answer: bytes, code: int, left: int
) -> None:
    killed(10)
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer)
        purge = start("spool", "purge", config, stdin=theirs)
        _, notes = purge.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)

    assert purge.returncode == code
    assert b"10 records of 1 dead processes" in notes
    assert json.loads(run("spool", "ls", config, "--json").stdout)["records"] == left


def test_purge_leaves_what_is_no_spool_and_deletes_the_rest(
    run: Run, config: Path, two_killed: TwoFolders
) -> None:
    mixed, other = two_killed()
    stranger = mixed / "report.csv"
    stranger.write_text("mine")

    result = run("spool", "purge", config, "--yes", "--json")

    assert result.exit_code == 1
    purged = json.loads(result.stdout)
    assert purged["folders"] == [other.name]
    assert f"spool {stranger}: it is no file of a spool; move it out of" in result.stderr
    assert stranger.read_text() == "mine"
    assert list(mixed.glob("*.segment"))


@pytest.mark.parametrize("name", ["2024-11", "00002024-11", "00000009-1"])
def test_a_folder_of_somebody_else_is_no_process_of_ours(
    start: Start, run: Run, config: Path, directory: Path, killed: Writer, name: str
) -> None:
    killed(10)
    report = directory / name / "deep" / "report.csv"
    report.parent.mkdir(parents=True)
    report.write_text("mine")

    listed = json.loads(run("spool", "ls", config, "--json").stdout)
    replay = start("spool", "replay", config)
    replay.communicate(timeout=60)
    purged = run("spool", "purge", config, "--yes")

    assert [row["records"] for row in listed["folders"]] == [10]
    assert (replay.returncode, purged.exit_code) == (0, 0)
    assert report.read_text() == "mine"


def test_a_link_to_a_folder_is_no_process_of_ours(
    run: Run, config: Path, directory: Path, tmp_path: Path, killed: Writer
) -> None:
    killed(10)
    (theirs,) = directory.glob("*-*")
    elsewhere = theirs.rename(tmp_path / theirs.name)
    (directory / "00000001-1").symlink_to(elsewhere)

    listed = run("spool", "ls", config, "--json")
    purged = run("spool", "purge", config, "--yes")

    assert json.loads(listed.stdout)["folders"] == []
    assert (purged.exit_code, purged.stderr) == (0, "")
    assert list(elsewhere.glob("*.segment"))


COMMANDS = ["ls", "show", "verify", "export", "replay", "purge"]


def arguments(command: str, config: Path) -> list[str | Path]:
    return ["spool", command, config, *(["--yes"] if command == "purge" else [])]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_segment_that_cannot_be_read_stops_nothing_else(
    run: Run, config: Path, directory: Path, two_killed: TwoFolders, command: str
) -> None:
    before, after = two_killed()
    unreadable = before / "00000000-not.segment"
    unreadable.mkdir()
    (unreadable / "mine").write_text("mine")

    result = run(*arguments(command, config))

    assert result.exit_code == 1
    assert f"spool {unreadable}: it is a folder, and no file of a spool; move it" in result.stderr
    assert "1 folders or files cannot be read" in result.stderr
    assert len(list(directory.rglob("mine"))) == 1
    if command == "purge":
        assert list(before.glob("*.segment"))
        assert not after.exists()
    if command in ("show", "export"):
        assert len(result.stdout.splitlines()) == 20


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_cannot_be_read_stops_nothing_else(
    run: Run,
    config: Path,
    two_killed: TwoFolders,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    others, readable = two_killed()
    refuse(monkeypatch, others)

    result = run(*arguments(command, config))
    monkeypatch.undo()

    assert result.exit_code == 1
    assert f"spool {others}: it cannot be read: permission denied; run this as" in result.stderr
    assert list(others.glob("*.segment"))
    assert readable.exists() == (command not in ("replay", "purge"))


@pytest.mark.parametrize("command", ["ls", "verify", "export", "replay", "purge"])
def test_a_program_is_told_what_cannot_be_read(
    run: Run,
    config: Path,
    directory: Path,
    tmp_path: Path,
    killed: Writer,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    killed(10)
    (others,) = directory.glob("*-*")
    refuse(monkeypatch, others)
    output = [tmp_path / "out.jsonl"] if command == "export" else []

    result = run(*arguments(command, config), *output, "--json")

    (problem,) = json.loads(result.stdout)["unreadable"]
    assert problem.startswith(f"spool {others}: ")


def test_health_tells_of_what_cannot_be_read(
    run: Run, config: Path, directory: Path, killed: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(10)
    (others,) = directory.glob("*-*")
    refuse(monkeypatch, others)

    health = json.loads(run("health", config, "--json").stdout)

    assert health["status"] == "DEGRADED"
    assert any(f"1 folders or files cannot be read: spool {others}" in r for r in health["reasons"])


def test_bytes_kept_aside_that_cannot_be_read_are_told_of_by_their_whole_path(
    run: Run, config: Path, directory: Path, tmp_path: Path, killed: Writer
) -> None:
    killed(1)
    config.write_text(config.read_text().replace(str(directory), directory.name))
    (directory / "corrupt").write_text("a file")

    result = run("spool", "ls", config)

    assert result.exit_code == 1
    assert f"spool {tmp_path / 'spool' / 'corrupt'}: it is not a folder" in result.stderr
    assert "1 records in" in result.stdout


def refuse(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have a folder as another user's is, which nobody stops root from reading."""
    listdir, opened = os.listdir, os.open

    def refused(path: object) -> None:
        if isinstance(path, str | os.PathLike) and folder in (Path(path), *Path(path).parents):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def refusing_listdir(path: str) -> list[str]:
        refused(path)
        return listdir(path)

    def refusing_open(path: str, *rest: Any, **named: Any) -> int:
        refused(path)
        return opened(path, *rest, **named)

    monkeypatch.setattr(os, "listdir", refusing_listdir)
    monkeypatch.setattr(os, "open", refusing_open)


@pytest.mark.parametrize("command", ["show", "export"])
def test_what_a_pager_may_show_is_not_overwritten_by_a_progress_bar(
    config: Path, killed: Writer, command: str
) -> None:
    killed(10)
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [EXPERIMENT, "spool", command, str(config)], stdout=subprocess.PIPE, stderr=theirs
        ) as process:
            output, _ = process.communicate(timeout=60)
        os.write(theirs, b"end")
        notes = os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)

    assert output.count(b"Outcome") == 10
    assert b"reading" not in notes


@pytest.mark.parametrize(
    ("arguments", "bar"),
    [
        (["ls"], b"looking"),
        (["verify"], b"checking"),
        (["export", "{folder}/out.jsonl"], b"reading"),
        (["replay"], b"sending"),
        (["purge", "--yes"], b"deleting"),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_a_terminal_shows_how_far_it_is_and_nothing_else_does(
    config: Path, tmp_path: Path, killed: Writer, arguments: list[str], bar: bytes
) -> None:
    killed(10)
    command = [each.format(folder=tmp_path) for each in arguments]
    ours, theirs = pty.openpty()
    try:
        shown = subprocess.run(
            [EXPERIMENT, "spool", command[0], str(config), *command[1:]],
            stdout=subprocess.PIPE,
            stderr=theirs,
            timeout=60,
            check=True,
        )
        os.write(theirs, b"end")
        notes = os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)
    assert bar in notes
    assert b"\x1b" not in shown.stdout
    again = subprocess.run(
        [EXPERIMENT, "spool", "ls", str(config)], capture_output=True, timeout=60, check=True
    )
    assert again.stderr == b""


def test_export_to_a_disk_that_is_full_says_what_is_wrong(
    run: Run, config: Path, killed: Writer
) -> None:
    killed(10)

    result = run("spool", "export", config, "/dev/full", "--force")

    assert result.exit_code == 1
    assert "not all records are in /dev/full: No space left on device" in result.stderr


BUSY = dedent(
    """
    import itertools, sys, threading
    from experiment_framework import DataPlane, Outcome

    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    with DataPlane.from_config(sys.argv[1]) as plane:
        for n in itertools.count():
            plane.publish(
                Outcome(experiment_name="e", subject_id=f"s{n}", metric_name="m",
                        outcome_type="Count", value=n)
            )
            if n == 1000:
                print("ready", flush=True)
            if stop.is_set():
                break
        plane.flush(30)
    stats = plane.stats()
    full = stats.dropped.pop("spool_full", 0)  # it writes faster than there is room
    assert not stats.dropped, stats
    assert stats.offered == stats.delivered + full, stats
    print(stats.delivered, flush=True)
    """
)


def test_commands_neither_disturb_a_process_that_writes_nor_are_misled_by_it(
    run: Run, directory: Path, tmp_path: Path
) -> None:
    config = tmp_path / "busy.yaml"
    written = configuration(directory, f"file, options: {{path: {events(tmp_path)}}}")
    spool = f"spool: {{directory: {directory}"
    config.write_text(written.replace(spool, f"{spool}, mode: writeAhead, maxBytes: 1048576"))
    with subprocess.Popen(
        [sys.executable, "-c", BUSY, str(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdin is not None
        assert owner.stdout.readline() == "ready\n"
        for _ in range(3):
            for command in ("ls", "show", "export", "replay"):
                assert run("spool", command, config).exit_code == 0
            assert run("spool", "purge", config, "--yes").exit_code == 0
            verdict = run("spool", "verify", config, "--json")
            assert (verdict.exit_code, json.loads(verdict.stdout)["damages"]) == (0, [])
            assert owner.poll() is None
        owner.stdin.close()
        delivered = int(owner.stdout.readline())
    assert len(set(ids_in(events(tmp_path).read_text()))) == delivered


@pytest.mark.parametrize("command", ["ls", "show", "verify", "export", "replay", "purge"])
def test_a_configuration_without_a_spool_is_refused(
    run: Run, file_config: Path, command: str
) -> None:
    result = run("spool", command, file_config)

    assert result.exit_code == 2
    assert "dataPlane.spool" in result.stderr


@pytest.mark.parametrize("command", ["ls", "show", "verify", "export", "replay", "purge"])
def test_a_directory_that_is_not_there_yet_is_an_empty_spool(
    run: Run, config: Path, directory: Path, command: str
) -> None:
    assert run("spool", command, config).exit_code == 0
    assert not directory.exists()


@pytest.mark.parametrize("command", ["ls", "show", "verify", "export", "replay", "purge"])
def test_a_directory_that_is_a_file_is_one_clear_line(
    run: Run, config: Path, directory: Path, command: str
) -> None:
    directory.write_text("a file")

    result = run("spool", command, config)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: spool {directory}: it is not a folder; ")


def test_health_looks_at_the_spool_and_adopts_nothing(
    run: Run, config: Path, directory: Path, tmp_path: Path, killed: Writer, running: Writer
) -> None:
    running(20)
    killed(30)
    before = contents(directory)

    result = run("health", config, "--json")

    assert result.exit_code == 0
    health = json.loads(result.stdout)
    assert health["status"] == "DEGRADED"
    assert any("30 records of dead processes" in reason for reason in health["reasons"])
    assert (health["details"]["spooled"], health["details"]["spooledByDeadProcesses"]) == (50, 30)
    assert contents(directory) == before
    assert not events(tmp_path).exists()


def test_health_is_healthy_with_a_spool_that_is_empty(run: Run, config: Path) -> None:
    result = run("health", config, "--json", "--strict")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["details"]["spooled"] == 0


def test_publish_takes_a_configuration_with_a_spool_and_leaves_the_spool_alone(
    run: Run, config: Path, directory: Path, tmp_path: Path, killed: Writer
) -> None:
    killed(10)
    before = contents(directory)
    envelope = (
        '{"eventId": "1", "eventType": "Error", "payload": {"errorType": "E", "message": "m"}}'
    )

    result = run("publish", config, input=envelope)

    assert result.exit_code == 0, result.output
    assert ids_in(events(tmp_path).read_text()) == ["1"]
    assert contents(directory) == before


def test_describe_shows_what_the_spool_is(run: Run, config: Path, directory: Path) -> None:
    shown = run("describe", config).stdout

    assert f"spool.directory         {directory}" in shown
    assert "spool.mode              overflow" in shown


def test_health_tells_of_a_directory_that_no_process_could_use(
    run: Run, config: Path, directory: Path
) -> None:
    directory.parent.joinpath("in-the-way").write_text("")
    config.write_text(
        config.read_text().replace(str(directory), f"{directory.parent}/in-the-way/s")
    )

    result = run("health", config, "--json")

    health = json.loads(result.stdout)
    assert health["status"] == "DEGRADED"
    assert any("in-the-way/s: it is not a folder" in reason for reason in health["reasons"])
