"""Runs one program, unchanged, on every backplane, and compares what came of it.

``make swap`` prints the table.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
from apache_kafka import ApacheKafka, KafkaUnavailableError
from experiment_framework_kafka import EmbeddedKafka
from installing import find_uv, install
from members import ROOT
from otlp_receiver import OtlpReceiver, values
from postgresql import PostgreSQL, PostgreSQLUnavailableError
from rich.console import Console
from rich.table import Table

__all__ = ["BACKPLANES", "FailedError", "NotHereError", "Outcome", "differences", "outcome_of"]

PROGRAM: Final = ROOT / "samples" / "swap_program.py"
REDIS: Final = ROOT / "samples" / "third_party_redis"
CONFIGURATION: Final = """
experimentFramework:
  dataPlane:
    samplingRate: 0.5
    enableErrorEvents: false
    batchSize: 7
    flushIntervalMs: 50
    backplane: {backplane}
"""
REFERENCE: Final = "memory"

EXPERIMENT: Final = str(Path(sys.executable).with_name("experiment"))

Event = dict[str, Any]


class NotHereError(Exception):
    """A backplane cannot run on this machine; the text says what is missing."""


class FailedError(Exception):
    """The program, or what makes its place ready, failed; the text has what it said."""


@attrs.frozen(kw_only=True)
class Place:
    """Where a backplane puts events.

    Attributes:
        backplane: What the configuration has.
        received: Gives the events where they cannot be read back: by the program's standard error.
        parts: What of an envelope can be had from there as it is; empty for all of it.
        environ: What the program needs in its environment besides.
        is_provisioned: Whether topics and tables are made beforehand, as an operator would.
    """

    backplane: Mapping[str, Any]
    received: Callable[[str], list[Event]] | None = None
    parts: frozenset[str] = frozenset()
    environ: Mapping[str, str] = attrs.field(factory=dict)
    is_provisioned: bool = True


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of the program.

    Attributes:
        ledger: The accounts that it printed.
        events: What arrived, by event id; whole envelopes, but for the time of publishing.
        parts: What of an envelope arrived as it is; empty for all of it.
        way: How they were got.
        seconds: How long the program took.
    """

    ledger: Mapping[str, Any]
    events: Mapping[str, Event]
    parts: frozenset[str]
    way: str
    seconds: float


def outcome_of(name: str, folder: Path) -> Outcome:
    """Run the program on one backplane.

    Raises:
        NotHereError: The backplane cannot run here.
        FailedError: The program failed on it.
    """
    with BACKPLANES[name](folder) as place:
        config = folder / "experiments.yaml"
        config.write_text(CONFIGURATION.format(backplane=json.dumps(place.backplane)), "utf-8")
        if place.is_provisioned:
            _run([EXPERIMENT, "provision", str(config)], place, folder)
        began = time.monotonic()
        done = _run([sys.executable, str(PROGRAM), str(config)], place, folder)
        seconds = time.monotonic() - began
        printed = json.loads(done.stdout)
        way, events = "read", printed["events"]
        if place.received is not None:
            assert events is None, f"{name} can be read: its events need no receiver"
            way, events = "receiver", place.received(done.stderr)
    return Outcome(
        ledger=printed["ledger"],
        events={event["eventId"]: _lasting(event) for event in events},
        parts=place.parts,
        way=way if len({event["eventId"] for event in events}) == len(events) else "repeated",
        seconds=seconds,
    )


def _run(command: list[str], place: Place, folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | place.environ,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    if done.returncode:
        raise FailedError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done


def differences(outcome: Outcome, reference: Outcome) -> list[str]:
    """Say in what an outcome differs from that of another backplane; nothing is as it should be."""
    found = [
        f"{key}: {outcome.ledger.get(key)!r} in place of {expected!r}"
        for key, expected in reference.ledger.items()
        if outcome.ledger.get(key) != expected
    ]
    if outcome.way == "repeated":
        found.append("events arrived more than once")
    found += [
        f"{each} is missing" for each in sorted(reference.events.keys() - outcome.events.keys())
    ]
    found += [f"{each} is new" for each in sorted(outcome.events.keys() - reference.events.keys())]
    for event_id in sorted(reference.events.keys() & outcome.events.keys()):
        expected, event = reference.events[event_id], outcome.events[event_id]
        if event != {key: expected[key] for key in (outcome.parts or expected)}:
            found.append(f"{event_id}: {event} in place of {expected}")
    return found


def _lasting(event: Event) -> Event:
    """Leave out when it was published: that differs from run to run."""
    return {key: value for key, value in event.items() if key != "timestamp"}


@contextmanager
def _memory(_: Path) -> Iterator[Place]:
    yield Place(backplane={"type": "memory"})


@contextmanager
def _logging(_: Path) -> Iterator[Place]:
    def received(errors: str) -> list[Event]:
        return [json.loads(line) for line in errors.splitlines() if line.startswith("{")]

    yield Place(backplane={"type": "logging"}, received=received)


@contextmanager
def _file(folder: Path) -> Iterator[Place]:
    yield Place(backplane={"type": "file", "options": {"path": str(folder / "events.jsonl")}})


@contextmanager
def _rotated_file(folder: Path) -> Iterator[Place]:
    options = {
        "path": str(folder / "events.jsonl"),
        "rotateBytes": 4000,
        "compression": "gzip",
        "fsync": "rotate",
    }
    yield Place(backplane={"type": "file", "options": options})


@contextmanager
def _embedded_kafka(_: Path) -> Iterator[Place]:
    with EmbeddedKafka() as kafka:
        # It makes topics as they are named, and has no one to ask for it.
        yield attrs.evolve(_kafka(kafka.bootstrap_servers), is_provisioned=False)


@contextmanager
def _apache_kafka(folder: Path) -> Iterator[Place]:
    try:
        ApacheKafka.check_available()
    except KafkaUnavailableError as missing:
        raise NotHereError(str(missing)) from missing
    with ApacheKafka(folder) as kafka:
        yield _kafka(kafka.bootstrap_servers)


def _kafka(servers: str) -> Place:
    return Place(backplane={"type": "kafka", "options": {"brokers": servers.split(",")}})


@contextmanager
def _sqlite(folder: Path) -> Iterator[Place]:
    yield _sql(f"sqlite:///{folder}/experiments.db")


@contextmanager
def _postgresql(_: Path) -> Iterator[Place]:
    try:
        PostgreSQL.check_available()
    except PostgreSQLUnavailableError as missing:
        raise NotHereError(str(missing)) from missing
    with PostgreSQL() as server:
        yield _sql(server.create_database("swap"))


def _sql(url: str) -> Place:
    return Place(backplane={"type": "sql", "options": {"url": url}})


@contextmanager
def _opentelemetry(_: Path) -> Iterator[Place]:
    receiver = OtlpReceiver()
    with receiver.listening():
        yield Place(
            backplane={
                "type": "opentelemetry",
                "options": {"otlp": {"endpoint": receiver.endpoint}},
            },
            received=lambda _: [_told(values(span.attributes)) for span in receiver.spans],
            parts=_TOLD,
        )


_TOLD: Final = frozenset({"eventId", "eventType", "schemaVersion", "correlationId", "metadata"})


def _told(attributes: Mapping[str, Any]) -> Event:
    """Give the parts of an envelope that a span tells as they are."""
    return {
        "eventId": attributes["dataplane.event.id"],
        "eventType": attributes["dataplane.event.type"],
        "schemaVersion": attributes["dataplane.schema.version"],
        "correlationId": attributes.get("dataplane.correlation.id"),
        "metadata": {
            name.removeprefix("dataplane.metadata."): value
            for name, value in attributes.items()
            if name.startswith("dataplane.metadata.")
        },
    }


@contextmanager
def _composite(folder: Path) -> Iterator[Place]:
    members = {
        "archive": {"type": "file", "options": {"path": str(folder / "events.jsonl")}},
        "analysts": _sql(f"sqlite:///{folder}/experiments.db").backplane,
        "memory": {"type": "memory", "required": False},
    }
    yield Place(
        backplane={
            "type": "composite",
            "options": {"members": members, "readFrom": "analysts"},
        }
    )


@contextmanager
def _redis(folder: Path) -> Iterator[Place]:
    if shutil.which("redis-server") is None:
        raise NotHereError("redis-server is not installed (.ci/redis does that on Debian)")
    packages = _third_party(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield Place(
            backplane={"type": "redis", "options": {"url": f"redis://127.0.0.1:{port}/0"}},
            environ={"PYTHONPATH": str(packages)},
        )
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _third_party(folder: Path) -> Path:
    """Install the third party's wheel, and the client it requires, into a folder of their own."""
    uv = find_uv() or str(ROOT / ".ci" / "uv")
    wheels, packages = folder / "wheels", folder / "packages"
    build = ["build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable]
    client = ["pip", "install", "--quiet", "--python", sys.executable, "--target", str(packages)]
    for command in ([*build, "--out-dir", str(wheels), str(REDIS)], [*client, "redis>=5.0"]):
        done = subprocess.run(
            [uv, *command], capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise NotHereError(f"its distribution cannot be installed: {done.stderr.strip()}")
    install(wheels.glob("*.whl"), packages)
    return packages


BACKPLANES: Final[Mapping[str, Callable[[Path], AbstractContextManager[Place]]]] = {
    REFERENCE: _memory,
    "logging": _logging,
    "file": _file,
    "file, rotated and packed": _rotated_file,
    "kafka, embedded": _embedded_kafka,
    "kafka, Apache": _apache_kafka,
    "sql, SQLite": _sqlite,
    "sql, PostgreSQL": _postgresql,
    "opentelemetry": _opentelemetry,
    "composite": _composite,
    "redis, third-party": _redis,
}


def main() -> int:
    """Print the table; 1 where a backplane differs."""
    made = Table("Backplane", "Events", "Got by", "Ledger", "s", "Result", box=None)
    reference: Outcome | None = None
    is_same = True
    with tempfile.TemporaryDirectory() as scratch:
        for number, name in enumerate(BACKPLANES):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            try:
                outcome = outcome_of(name, folder)
            except NotHereError as missing:
                made.add_row(name, "", "", "", "", f"skipped: {missing}")
                continue
            except FailedError as error:
                is_same = False
                made.add_row(name, "", "", "", "", f"failed: {error}")
                continue
            reference = reference or outcome
            found = differences(outcome, reference)
            is_same = is_same and not found
            made.add_row(
                name,
                str(len(outcome.events)),
                outcome.way,
                _shown(outcome.ledger),
                f"{outcome.seconds:.1f}",
                "\n".join(found[:5]) or "the same",
            )
    Console(width=None if sys.stdout.isatty() else 200).print(made)
    return 0 if is_same else 1


def _shown(ledger: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in ledger.items() if count)


if __name__ == "__main__":
    sys.exit(main())
