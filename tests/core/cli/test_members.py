"""The commands with a configuration that has several backplanes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]

# Dies with records on the disk of one member: its folder is gone.
PROGRAM = """
import os, shutil, sys, time
from experiment_framework import DataPlane, Exposure

plane = DataPlane.from_config(sys.argv[1])
shutil.rmtree(sys.argv[2])
for number in range(20):
    plane.publish(
        Exposure(experiment_name="checkout", variant_key="a", subject_id="user-1"),
        event_id=str(number),
    )
deadline = time.monotonic() + 20
while plane.stats().members["archive"].spooled < 20 and time.monotonic() < deadline:
    time.sleep(0.01)
os._exit(0)
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder


@pytest.fixture
def config(tmp_path: Path, archive: Path) -> Path:
    path = tmp_path / "experiments.yaml"
    backplanes = [
        {"type": "file", "name": "events", "options": {"path": str(tmp_path / "events.jsonl")}},
        {
            "type": "file",
            "name": "archive",
            "options": {"path": str(archive / "events.jsonl")},
            "flushIntervalMs": 5,
            "spool": {"directory": str(tmp_path / "spool")},
        },
    ]
    path.write_text(json.dumps({"experimentFramework": {"dataPlane": {"backplanes": backplanes}}}))
    return path


@pytest.fixture
def left(config: Path, archive: Path) -> None:
    """Leave twenty records on the disk of a member."""
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(config), str(archive)], check=True, timeout=60
    )
    archive.mkdir()


def ids_in(path: Path) -> list[str]:
    return [json.loads(line)["eventId"] for line in path.read_text().splitlines()]


@pytest.mark.usefixtures("left")
def test_the_spool_of_a_member_is_looked_into_and_sent(
    run: Run, config: Path, archive: Path
) -> None:
    (folder,) = json.loads(run("spool", "--member", "archive", "ls", "--json", config).stdout)[
        "folders"
    ]
    assert (folder["records"], folder["alive"]) == (20, False)
    done = run("spool", "--member", "archive", "replay", config)
    assert done.exit_code == 0, done.output
    assert ids_in(archive / "events.jsonl") == [str(number) for number in range(20)]
    events = config.with_name("events.jsonl")
    assert not events.exists() or set(ids_in(events)) <= set(map(str, range(20)))


@pytest.mark.usefixtures("left")
def test_a_command_that_only_asks_leaves_the_spools_of_members_alone(
    run: Run, config: Path, archive: Path
) -> None:
    assert run("health", "--timeout", "2", config).exit_code == 0
    assert not (archive / "events.jsonl").exists()
    listed = json.loads(run("spool", "--member", "archive", "ls", "--json", config).stdout)
    assert [folder["records"] for folder in listed["folders"]] == [20]


def test_a_spool_that_is_not_there_is_said_with_what_there_is(run: Run, config: Path) -> None:
    of_none = run("spool", "ls", config)
    assert of_none.exit_code == 2
    assert "archive has one of its own: `experiment spool --member archive`" in of_none.stderr
    of_a_member = run("spool", "--member", "events", "ls", config)
    assert of_a_member.exit_code == 2
    assert "the member events of " in of_a_member.stderr
    assert "--member archive" not in of_a_member.stderr
    unknown = run("spool", "--member", "archiv", "ls", config)
    assert unknown.exit_code == 2
    assert "there are events, archive" in unknown.stderr


def test_health_shows_each_member(run: Run, config: Path) -> None:
    shown = run("health", config).stdout
    assert "events  HEALTHY" in shown
    assert "archive  HEALTHY" in shown
    assert set(json.loads(run("health", "--json", config).stdout)["details"]["members"]) == {
        "events",
        "archive",
    }


def test_describe_shows_the_options_of_each_member(run: Run, config: Path) -> None:
    values = json.loads(run("describe", "--json", config).stdout)["values"]
    paths = {each["path"]: each["value"] for each in values}
    assert paths["dataPlane.backplane.options.members.archive.options.fsync"] == "batch"
    assert paths["dataPlane.backplane.options.members.archive.flushIntervalMs"] == 5
