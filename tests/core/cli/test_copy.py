from __future__ import annotations

import itertools
import json
import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from experiment_framework import DataPlane, Exposure, Outcome, correlation
from experiment_framework.envelope import Envelope
from experiment_framework.plugin import (
    Backplane,
    Permanent,
    Phase,
    Query,
    Record,
    Retryable,
    Step,
    Stored,
    option,
    options,
    register,
)
from experiment_framework.plugin.registration import registrations
from experiment_framework_kafka import EmbeddedKafka
from msgspec.structs import replace

Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[bytes]"]
Configure = Callable[..., Path]
Offer = Callable[[str, object], None]

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Write a configuration; of a file of its name where nothing else is said."""

    def configure(name: str, kind: str = "file", more: str = "", **given: object) -> Path:
        if kind == "file":
            given = {"path": str(tmp_path / f"{name}.jsonl")} | given
        backplane = json.dumps({"type": kind, "options": given})
        config = tmp_path / f"{name}.yaml"
        lines = ["experimentFramework:", "  dataPlane:", f"    backplane: {backplane}"]
        config.write_text("\n".join((*lines, *(f"    {each}" for each in more.split(";") if each))))
        return config

    return configure


@pytest.fixture
def offer() -> Iterator[Offer]:
    """Register a plugin for the time of a test."""
    known = registrations()
    before = dict(known.backplanes), dict(known.steps)
    yield register
    known.backplanes, known.steps = before


@pytest.fixture
def full(configure: Configure) -> Path:
    """A file with forty events, one an hour."""
    config = configure("from")
    publish(config, range(40))
    return config


def publish(config: Path, numbers: Sequence[int]) -> None:
    with DataPlane.from_config(config) as plane:
        for number in numbers:
            subject = {"subject_id": f"u{number}", "timestamp": START + timedelta(hours=number)}
            name = "checkout" if number % 2 else "search"
            event = (
                Outcome(
                    experiment_name=name, metric_name="n", outcome_type="Count", value=1, **subject
                )
                if number % 4 == 0
                else Exposure(experiment_name=name, variant_key="a", **subject)
            )
            with correlation(f"request-{number}"):
                receipt = plane.publish(event, event_id=f"e{number}", metadata={"n": number})
            assert receipt.status == "accepted"
        assert plane.flush(20).is_complete


def lines(config: Path) -> list[bytes]:
    """Give the whole lines: the last one may be on its way."""
    path = config.with_suffix(".jsonl")
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1].splitlines()


def ids(config: Path) -> list[str]:
    return [json.loads(line)["eventId"] for line in lines(config)]


def numbered(numbers: Sequence[int]) -> list[str]:
    return [f"e{number}" for number in numbers]


def test_events_arrive_as_they_were(run: Run, full: Path, configure: Configure) -> None:
    to = configure("to")

    result = run("copy", full, to, "--json")

    assert result.exit_code == 0, result.stderr
    assert lines(to) == lines(full)
    summary = json.loads(result.stdout)
    assert (summary["read"], summary["copied"]) == (40, 40)
    assert summary["rejects"] is None
    assert not Path("from.yaml.rejects.jsonl").exists()


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        (("--experiment", "search"), range(0, 40, 2)),
        (("--type", "outcome"), range(0, 40, 4)),
        (("--variant", "b"), ()),
        (("--since", "2026-01-01T10:00:00Z", "--until", "2026-01-01T12:00:00Z"), (10, 11)),
        (("--since", "2026-01-02"), range(24, 40)),
        (("--since", "2026-01-02T02:00:00+02:00", "--limit", "3"), (24, 25, 26)),
        (("--until", "1d", "--type", "Outcome"), range(0, 40, 4)),
    ],
)
def test_filters_choose_what_is_copied(
    run: Run, full: Path, configure: Configure, given: tuple[str, ...], numbers: Sequence[int]
) -> None:
    to = configure("to")

    result = run("copy", full, to, *given)

    assert result.exit_code == 0, result.stderr
    assert ids(to) == numbered(numbers)


@pytest.mark.parametrize(
    "given",
    [
        ("--since", "yesterday"),
        ("--since", "2026-13-01"),
        ("--since", "99999999d"),
        ("--since", "2026-01-02", "--until", "2026-01-02"),
        ("--follow", "--dry-run"),
        ("--follow", "--until", "1d"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    run: Run, full: Path, configure: Configure, given: tuple[str, ...]
) -> None:
    result = run("copy", full, configure("to"), *given)

    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_sampling_and_switches_of_the_target_decide_nothing_a_second_time(
    run: Run, full: Path, configure: Configure
) -> None:
    to = configure("to", more="samplingRate: 0.0;enableOutcomeEvents: false")

    result = run("copy", full, to)

    assert result.exit_code == 0, result.stderr
    assert lines(to) == lines(full)


@options
class _Redacting:
    copy_test_redaction: bool = option(default=False, help="Take the subject away.")


class _Redaction(Step[_Redacting]):
    phase = Phase.REDACT

    def apply(self, envelope: Envelope) -> Envelope:
        assert isinstance(envelope.payload, Outcome | Exposure)
        return replace(envelope, payload=replace(envelope.payload, subject_id="?"))


def test_what_redacts_sees_every_event_that_is_copied(
    run: Run, full: Path, configure: Configure, offer: Offer
) -> None:
    offer("copyTestRedaction", _Redaction)
    to = configure("to", more="copyTestRedaction: true")

    assert run("copy", full, to).exit_code == 0

    assert {json.loads(line)["payload"]["subjectId"] for line in lines(to)} == {"?"}


def test_a_dry_run_counts_and_writes_nothing(run: Run, full: Path, configure: Configure) -> None:
    to = configure("to")

    result = run("copy", full, to, "--dry-run", "--json", "--resume", "resume.json")

    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert (summary["dryRun"], summary["read"], summary["copied"]) == (True, 40, 0)
    assert not Path("to.jsonl").exists()
    assert not Path("resume.json").exists()


def test_a_backplane_that_cannot_be_read_is_a_clear_error(
    run: Run, full: Path, configure: Configure
) -> None:
    result = run("copy", configure("log", "logging"), full)

    assert result.exit_code == 1
    assert "logging cannot read events back" in result.stdout + result.stderr
    assert len(lines(full)) == 40


def test_a_configuration_with_problems_is_shown_before_anything_is_done(
    run: Run, full: Path, bad_config: Path
) -> None:
    result = run("copy", full, bad_config)

    assert result.exit_code == 2
    assert "batchsize" in result.stderr


def test_a_place_is_not_copied_to_itself(
    run: Run, full: Path, configure: Configure, tmp_path: Path
) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "from.jsonl")
    other = configure("other", path=str(tmp_path / "link.jsonl"), rotateBytes=1000)
    several = tmp_path / "several.yaml"
    several.write_text(
        "experimentFramework:\n  dataPlane:\n    backplanes:\n"
        f"      - {{type: file, name: one, options: {{path: {tmp_path / 'from.jsonl'}}}}}\n"
        "      - {type: memory, name: two}\n"
    )

    for to in (full, other, several):
        result = run("copy", full, to)
        assert result.exit_code == 2, result.stderr
        assert "the same place" in result.stderr
    assert len(lines(full)) == 40


class _Shelf(Backplane[_Redacting]):
    """Gives what a test put there, without positions."""

    def write_batch(self, records: Sequence[Record]) -> None:
        raise AssertionError("it is only read")

    def read(self, query: Query) -> Iterator[Stored]:
        return iter(ON_THE_SHELF)


ON_THE_SHELF: list[Stored] = []


@pytest.fixture
def shelf(configure: Configure, full: Path, offer: Offer) -> Path:
    offer("copy-test-shelf", _Shelf)
    ON_THE_SHELF[:] = [
        Stored(body=body, place=f"shelf/{number}") for number, body in enumerate(lines(full))
    ]
    return configure("shelf", "copy-test-shelf")


def test_what_is_no_event_is_kept_with_its_place_and_the_reason(
    run: Run, shelf: Path, configure: Configure
) -> None:
    ON_THE_SHELF[3] = Stored(body=b"\xff", place="shelf/3")
    ON_THE_SHELF[4] = Stored(body=b'{"eventId": 7}', place="shelf/4")
    to = configure("to")

    result = run("copy", shelf, to, "--json")

    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert (summary["read"], summary["copied"], summary["rejected"]) == (40, 38, 2)
    assert "shelf/4: " in result.stderr
    rows = [json.loads(row) for row in Path(summary["rejects"]).read_text().splitlines()]
    assert [row["place"] for row in rows] == ["shelf/3", "shelf/4"]
    assert rows[1]["text"] == '{"eventId": 7}'


@pytest.mark.parametrize("is_gone", [False, True])
def test_without_positions_a_copy_goes_on_after_the_place_where_it_was(
    run: Run, shelf: Path, configure: Configure, is_gone: bool
) -> None:
    to, resume = configure("to"), ("--resume", "resume.json")
    assert run("copy", shelf, to, *resume, "--limit", "10").exit_code == 0
    if is_gone:
        del ON_THE_SHELF[:20]

    assert run("copy", shelf, to, *resume).exit_code == 0

    assert ids(to) == numbered([*range(10), *range(20 if is_gone else 10, 40)])


class _Picky(Backplane[_Redacting]):
    """Takes what a test lets it."""

    def write_batch(self, records: Sequence[Record]) -> None:
        for index, record in enumerate(records):
            if record.event_id in REFUSED:
                TAKEN.extend(each.event_id for each in records[:index])
                TAKEN.extend(each.event_id for each in records[index + 1 :])
                raise REFUSED[record.event_id]("no", [record])
        TAKEN.extend(record.event_id for record in records)


REFUSED: dict[str, type[Permanent | Retryable]] = {}
TAKEN: list[str] = []


@pytest.fixture
def picky(configure: Configure, offer: Offer) -> Path:
    offer("copy-test-picky", _Picky)
    REFUSED.clear()
    TAKEN.clear()
    return configure("picky", "copy-test-picky", "batchSize: 5;retryDeadlineMs: 0")


def test_what_the_target_refuses_is_kept_and_the_copy_goes_on(
    run: Run, full: Path, picky: Path
) -> None:
    REFUSED["e7"] = Permanent

    result = run("copy", full, picky, "--json", "--resume", "resume.json")

    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert (summary["copied"], summary["rejected"], summary["failed"]) == (39, 1, 0)
    (row,) = [json.loads(row) for row in Path("from.yaml.rejects.jsonl").read_text().splitlines()]
    assert (row["eventId"], json.loads(row["text"])["eventId"]) == ("e7", "e7")
    assert "e7: no" in result.stderr

    again = run("copy", full, picky, "--json", "--resume", "resume.json")
    assert (again.exit_code, json.loads(again.stdout)["read"]) == (0, 0)


def test_a_copy_that_the_target_could_not_take_leaves_nothing_behind(
    run: Run, full: Path, picky: Path
) -> None:
    resume = ("--json", "--resume", "resume.json")
    assert run("copy", full, picky, *resume, "--limit", "10").exit_code == 0
    REFUSED["e20"] = Retryable

    result = run("copy", full, picky, *resume)

    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["failed"] == 1
    assert "no" in summary["stopped"]
    assert summary["rejects"] is None
    REFUSED.clear()
    TAKEN.clear()
    assert run("copy", full, picky, *resume).exit_code == 0
    assert numbered(range(10, 40)) == TAKEN


def test_a_target_without_room_stops_the_copy(run: Run, full: Path, configure: Configure) -> None:
    to = configure("to", "memory", maxRecords=15)

    result = run("copy", full, to, "--json", "--timeout", "0.2")

    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert (summary["read"], summary["copied"], summary["failed"]) == (16, 15, 1)
    assert "no room" in summary["stopped"]


def test_a_copy_that_was_done_goes_on_with_what_is_new(
    run: Run, full: Path, configure: Configure
) -> None:
    to, resume = configure("to"), ("--resume", "resume.json", "--json")
    run("copy", full, to, *resume)
    publish(full, range(40, 45))

    summary = json.loads(run("copy", full, to, *resume).stdout)

    assert (summary["copied"], summary["copiedBefore"]) == (5, 40)
    assert ids(to) == numbered(range(45))


def test_a_rotation_and_a_compression_between_two_runs_change_nothing(
    run: Run, configure: Configure, tmp_path: Path
) -> None:
    rotated = {"rotateBytes": 4000, "compression": "gzip"}
    source, to = configure("from", **rotated), configure("to")
    publish(source, range(20))
    assert run("copy", source, to, "--resume", "resume.json", "--limit", "17").exit_code == 0
    publish(source, range(20, 60))
    assert len(list(tmp_path.glob("*.gz"))) > 3

    assert run("copy", source, to, "--resume", "resume.json").exit_code == 0

    assert ids(to) == numbered(range(60))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": "other"}, "another FROM"),
        ({"target": "other"}, "another TO"),
        ({"version": 2}, "another version"),
        ({"mark": 7}, "was not written by"),
    ],
)
def test_a_resume_file_of_another_copy_is_refused(
    run: Run, full: Path, configure: Configure, change: dict[str, object], said: str
) -> None:
    to, path = configure("to"), Path("resume.json")
    run("copy", full, to, "--resume", path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    result = run("copy", full, to, "--resume", path)

    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("before", "now", "code"),
    [
        ((), ("--type", "Outcome"), 0),
        (("--type", "Outcome"), (), 2),
        (("--experiment", "search"), ("--experiment", "checkout"), 2),
        (("--since", "2026-01-02"), ("--since", "2026-01-03"), 0),
        (("--since", "2026-01-03"), ("--since", "2026-01-02"), 2),
        (("--until", "2026-01-02"), ("--until", "2026-01-03"), 2),
        (("--since", "9d"), ("--since", "9d"), 0),
    ],
)
def test_a_copy_cannot_go_on_with_events_that_it_passed_over(
    run: Run,
    full: Path,
    configure: Configure,
    before: tuple[str, ...],
    now: tuple[str, ...],
    code: int,
) -> None:
    to = configure("to")
    assert run("copy", full, to, "--resume", "resume.json", *before).exit_code == 0

    assert run("copy", full, to, "--resume", "resume.json", *now).exit_code == code


def test_a_resume_file_names_no_place_and_no_password(
    run: Run, full: Path, configure: Configure, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/canary.db"
    to = configure("to", "sql", url=url, autoMigrate=True, password=None)

    assert run("copy", full, to, "--resume", "resume.json").exit_code == 0

    content = Path("resume.json").read_text()
    assert "canary" not in content
    assert Path("resume.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_copy_that_was_ended_goes_on_where_it_was(
    start: Start, run: Run, configure: Configure, number: int, code: int
) -> None:
    source, to, resume = configure("from"), configure("to"), Path("resume.json")
    publish(source, range(200))
    process = start("copy", source, to, "--follow", "--resume", resume)
    published = itertools.count(200)

    wait_until(lambda: resume.exists() and len(ids(to)) >= 200)
    while len(ids(to)) < 230:
        publish(source, [next(published) for _ in range(10)])
    process.send_signal(number)
    process.wait(30)
    assert process.returncode == code
    copied = ids(to)
    publish(source, [next(published) for _ in range(10)])

    assert run("copy", source, to, "--resume", resume).exit_code == 0

    everything = numbered(range(next(published)))
    assert sorted(set(ids(to))) == sorted(everything)
    repeated = len(ids(to)) - len(everything)
    assert repeated == 0 if number != signal.SIGKILL else repeated <= len(copied) - 200


def wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_partitions_of_kafka_go_on_each_where_it_was(
    run: Run, full: Path, configure: Configure
) -> None:
    with EmbeddedKafka() as kafka:
        place = {
            "brokers": [kafka.bootstrap_servers],
            "topic": "copies",
            "partitionBy": "subjectId",
        }
        topic, to = configure("topic", "kafka", lingerMs=1, **place), configure("to")
        assert run("copy", full, topic).exit_code == 0
        for limit in ("7", "15", "1000", "1000"):
            result = run("copy", topic, to, "--resume", "resume.json", "--limit", limit)
            assert result.exit_code == 0, result.stderr
        changed = configure("topic", "kafka", lingerMs=2, clientId="other", **place)
        assert run("copy", changed, changed).exit_code == 2

    assert sorted(lines(to)) == sorted(lines(full))


@pytest.mark.parametrize(("more", "bar"), [((), b"copying"), (("--dry-run",), b"counting")])
def test_a_terminal_shows_how_far_a_copy_is_and_nothing_else_does(
    start: Start, full: Path, configure: Configure, more: tuple[str, ...], bar: bytes
) -> None:
    to = configure("to")
    ours, theirs = pty.openpty()
    try:
        output, _ = start("copy", full, to, *more, stderr=theirs).communicate(timeout=60)
        os.write(theirs, b"end")
        notes = os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)
    assert bar in notes
    assert b"40 events" in notes
    assert b"\x1b" not in output

    process = start("copy", full, to, *more)
    assert process.communicate(timeout=60)[1] == b""


def test_from_a_file_to_kafka_to_a_database_and_back_nothing_changes(
    run: Run, full: Path, configure: Configure, tmp_path: Path
) -> None:
    table = configure("table", "sql", url=f"sqlite:///{tmp_path}/copy.db", autoMigrate=True)
    with EmbeddedKafka() as kafka:
        topic = configure("topic", "kafka", brokers=[kafka.bootstrap_servers], lingerMs=1)
        for source, target in ((full, topic), (topic, table), (topic, table)):
            result = run("copy", source, target)
            assert result.exit_code == 0, result.stderr
    back = configure("back")

    assert run("copy", table, back).exit_code == 0

    assert sorted(lines(back)) == sorted(lines(full))
