from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import Result
from experiment_framework._cli import planes
from experiment_framework._config import load
from experiment_framework._registry import Registry
from experiment_framework.plugin import (
    Backplane,
    QueueFullError,
    Record,
    RecordTooLargeError,
    options,
)

Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[bytes]"]


def exposure(subject: str, **envelope: object) -> str:
    payload = {"experimentName": "checkout", "variantKey": "b", "subjectId": subject}
    return json.dumps({"eventType": "Exposure", "payload": payload} | envelope)


def stored(config: Path) -> list[dict[str, object]]:
    lines = config.with_name("events.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_only_event_type_and_payload_are_required(run: Run, file_config: Path) -> None:
    result = run("publish", file_config, input=exposure("u1"))

    assert result.exit_code == 0, result.stderr
    (envelope,) = stored(file_config)
    assert envelope["payload"]["subjectId"] == "u1"
    assert envelope["eventId"]
    assert envelope["schemaVersion"] == "1.0.0"


def test_what_is_given_is_kept(run: Run, file_config: Path) -> None:
    given = {
        "eventId": "mine",
        "timestamp": "2026-01-02T03:04:05.000000Z",
        "correlationId": "request-1",
        "metadata": {"samplingRate": 0.5, "team": "growth"},
    }

    run("publish", file_config, input=exposure("u1", **given))

    (envelope,) = stored(file_config)
    assert {name: envelope[name] for name in given} == given


def test_the_summary_accounts_for_every_line(run: Run, file_config: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    lines = [exposure("u1"), "", "no json", exposure("u2"), '{"eventType": "Exposure"}', "[]"]
    source.write_text("\n".join(lines))

    result = run("publish", file_config, source, "--json")

    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["lines"] == 5
    assert summary["accepted"] == summary["delivered"] == 2
    assert summary["rejected"] == 3
    assert summary["failed"] == summary["pending"] == 0
    assert summary["rejects"] == f"{source}.rejects.jsonl"


def test_rejected_lines_are_reported_by_number_and_kept(
    run: Run, file_config: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(f"{exposure('u1')}\nno json\n")

    result = run("publish", file_config, source)

    assert "line 2: " in result.stderr
    (row,) = Path(f"{source}.rejects.jsonl").read_text().splitlines()
    assert json.loads(row)["line"] == 2
    assert json.loads(row)["text"] == "no json"


def test_many_rejected_lines_do_not_flood_the_terminal(
    run: Run, file_config: Path, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.jsonl"

    result = run("publish", file_config, "--rejects", rejects, input="bad\n" * 500)

    assert result.stderr.count("\n") < 30
    assert len(rejects.read_text().splitlines()) == 500


def test_a_misspelt_event_type_is_rejected(run: Run, file_config: Path, tmp_path: Path) -> None:
    line = exposure("u1", eventType="Expsoure")

    result = run("publish", file_config, "--rejects", tmp_path / "rejects", input=line)

    assert result.exit_code == 1
    assert "'Expsoure' is none of Exposure, Assignment" in result.stderr


def test_an_event_type_of_a_newer_minor_version_is_kept(run: Run, file_config: Path) -> None:
    line = exposure("u1", eventType="Rollout", schemaVersion="1.7.0")

    result = run("publish", file_config, input=line)

    assert result.exit_code == 0, result.stderr
    (envelope,) = stored(file_config)
    assert (envelope["eventType"], envelope["schemaVersion"]) == ("Rollout", "1.7.0")


def test_what_tail_prints_is_what_publish_reads(run: Run, file_config: Path) -> None:
    run("publish", file_config, input="\n".join(exposure(f"u{n}") for n in range(5)))
    first = stored(file_config)

    copied = run("tail", file_config, "--no-follow", "--json").stdout
    result = run("publish", file_config, input=copied)

    assert result.exit_code == 0, result.stderr
    assert stored(file_config) == first * 2


def test_sampled_out_and_disabled_events_are_no_loss(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "experimentFramework:\n"
        "  dataPlane:\n"
        "    samplingRate: 0.0\n"
        "    enableErrorEvents: false\n"
        "    backplane: {type: memory}\n"
    )
    error = '{"eventType": "Error", "payload": {"errorType": "E", "message": "m"}}'

    result = run("publish", config, "--json", input=f"{exposure('u1')}\n{error}\n")

    summary = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (summary["sampledOut"], summary["disabled"], summary["accepted"]) == (1, 1, 0)


@options
class NoOptions:
    """Nothing to say."""


class Trickle(Backplane[NoOptions]):
    """Has room for one record in ten tries, and for none at all after `stuck_after` records."""

    def __init__(self, stuck_after: int | None = None) -> None:
        super().__init__(NoOptions())
        self.taken: list[Record] = []
        self.tries = 0
        self._stuck_after = stuck_after

    def publish(self, record: Record) -> None:
        self.tries += 1
        if self.tries % 10 or len(self.taken) == self._stuck_after:
            raise QueueFullError("no room")
        self.taken.append(record)
        self.context.delivered(record)


@pytest.fixture
def with_backplane(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[object], Path]:
    """Write a configuration whose backplane is the object given."""

    def with_backplane(plugin: object) -> Path:
        registry = Registry()
        registry.register_backplane("trickle", plugin)
        monkeypatch.setattr(planes, "load", lambda path: load(path, registry=registry))
        config = tmp_path / "trickle.yaml"
        config.write_text("experimentFramework: {dataPlane: {backplane: {type: trickle}}}\n")
        return config

    return with_backplane


def subjects(records: Sequence[Record]) -> list[str | None]:
    return [record.subject_id for record in records]


def test_a_full_queue_makes_reading_wait_and_loses_nothing(
    run: Run, with_backplane: Callable[[object], Path]
) -> None:
    backplane = Trickle()
    names = [f"u{n}" for n in range(50)]

    result = run(
        "publish", with_backplane(backplane), "--json", input="\n".join(map(exposure, names))
    )

    assert result.exit_code == 0, result.output
    assert subjects(backplane.taken) == names
    assert backplane.tries == 500


def test_a_queue_that_stays_full_ends_it_and_says_where(
    run: Run, with_backplane: Callable[[object], Path]
) -> None:
    backplane = Trickle(stuck_after=3)
    lines = "\n".join(exposure(f"u{n}") for n in range(1000))

    result = run("publish", with_backplane(backplane), "--timeout", "0.2", "--json", input=lines)

    summary = json.loads(result.stdout)
    assert result.exit_code == 1
    assert summary["stoppedAt"] == 4
    assert summary["accepted"] == summary["delivered"] == summary["lines"] == 3


class TooSmall(Backplane[NoOptions]):
    """Can never take a record, and has a place of its own for dead letters."""

    def __init__(self) -> None:
        super().__init__(NoOptions())
        self.letters: list[Record] = []

    def publish(self, record: Record) -> None:
        raise RecordTooLargeError(len(record.body), 1)

    def dead_letter(self, record: Record, reason: str) -> bool:
        self.letters.append(record)
        return True


def test_dead_letters_that_are_published_again_do_not_come_back_as_dead_letters(
    run: Run, with_backplane: Callable[[object], Path], tmp_path: Path
) -> None:
    backplane = TooSmall()
    config = with_backplane(backplane)
    letters = tmp_path / "dead.jsonl"
    config.write_text(
        "experimentFramework: {dataPlane: {backplane: {type: trickle}, "
        f"deadLetters: {{path: {letters}}}}}}}\n"
    )
    rejects = tmp_path / "rejects.jsonl"

    result = run("publish", config, "--rejects", rejects, input=exposure("u1"))

    assert result.exit_code == 1
    assert "too_large" in rejects.read_text()
    assert not letters.exists()
    assert not backplane.letters


def test_an_unreadable_configuration_publishes_nothing(
    run: Run, bad_config: Path, tmp_path: Path
) -> None:
    result = run("publish", bad_config, input=exposure("u1"))

    assert result.exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml"]


def test_memory_does_not_grow_with_one_endless_line(start: Start, file_config: Path) -> None:
    process = start("publish", file_config, "--json", stdin=subprocess.PIPE, cwd=file_config.parent)
    assert process.stdin is not None
    for _ in range(64):
        process.stdin.write(b"x" * 2**20)
    process.stdin.write(f"\n{exposure('u1')}\n".encode())
    out, _ = process.communicate(timeout=60)

    summary = json.loads(out)
    assert (summary["rejected"], summary["delivered"]) == (1, 1)
    (row,) = (file_config.parent / "stdin.rejects.jsonl").read_text().splitlines()
    assert json.loads(row)["size"] == 64 * 2**20 + 1
    assert len(row) < 2000
