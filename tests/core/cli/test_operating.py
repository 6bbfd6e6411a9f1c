"""Commands that set up and ask: init, provision, health."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
from click.testing import Result
from experiment_framework._config import load
from experiment_framework.plugin import (
    Backplane,
    Health,
    HealthStatus,
    Provisioned,
    Record,
    options,
)
from msgspec import structs
from ruamel.yaml import YAML

Run = Callable[..., Result]


@pytest.mark.parametrize("backplane", ["kafka", "file", "memory", "logging"])
def test_what_init_writes_is_valid_by_the_loader_and_by_its_schema(
    run: Run, tmp_path: Path, backplane: str
) -> None:
    config = tmp_path / "experiments.yaml"

    result = run("init", config, "--type", backplane)

    assert result.exit_code == 0, result.output
    assert config.read_text().startswith(
        "# yaml-language-server: $schema=experiments.schema.json\n"
    )
    assert run("validate", config).exit_code == 0
    schema = json.loads((tmp_path / "experiments.schema.json").read_text())
    jsonschema.validate(YAML(typ="safe").load(config), schema)


@pytest.mark.parametrize("backplane", ["kafka", "file", "memory", "logging"])
def test_every_option_that_init_comments_out_can_be_turned_on(
    run: Run, tmp_path: Path, backplane: str
) -> None:
    config = tmp_path / "experiments.yaml"
    run("init", config, "--type", backplane)
    before = {each.path: each.value for each in load(config).values}

    config.write_text(re.sub(r"(?m)^( *)#(?=\S| {2})", r"\1", config.read_text()))

    assert run("validate", config).exit_code == 0, run("validate", config).stderr
    after = load(config).values
    written = [each for each in after if each.origin != "default"]
    assert len(written) > 10
    values = {each.path: each.value for each in after}
    assert {path: values[path] for path, value in before.items() if value is not None} == {
        path: value for path, value in before.items() if value is not None
    }


def test_init_overwrites_nothing_unless_it_is_told_to(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "experiments.yaml"
    config.write_text("mine")

    refused = run("init", config)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert config.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [config]

    assert run("init", config, "--force").exit_code == 0
    assert config.read_text() != "mine"


def test_init_as_json_says_what_was_written(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "experiments.yaml"

    assert json.loads(run("init", config, "--type", "file", "--json").stdout) == {
        "file": str(config),
        "schema": str(tmp_path / "experiments.schema.json"),
        "type": "file",
    }


def test_init_names_the_nearest_backplane(run: Run, tmp_path: Path) -> None:
    result = run("init", tmp_path / "x.yaml", "--type", "kafak")

    assert result.exit_code == 2
    assert "kafka" in result.stderr
    assert list(tmp_path.iterdir()) == []


@options
class NoOptions:
    """Nothing to say."""


class Puppet(Backplane[NoOptions]):
    """Has the health it is told to have; the last one stays."""

    def __init__(self, *answers: HealthStatus, provisioned: tuple[Provisioned, ...] = ()) -> None:
        super().__init__(NoOptions())
        self._answers = list(answers)
        self._provisioned = provisioned

    def publish(self, record: Record) -> None:
        self.context.delivered(record)

    def health(self) -> Health:
        status = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        reasons = () if status == "HEALTHY" else (f"it is {status.lower()}",)
        return Health(status=status, reasons=reasons, details={"brokers": ["a", "b"]})

    def provision(self) -> tuple[Provisioned, ...]:
        return self._provisioned


@pytest.mark.parametrize(
    ("status", "flags", "code"),
    [
        ("HEALTHY", (), 0),
        ("HEALTHY", ("--strict",), 0),
        ("DEGRADED", (), 0),
        ("DEGRADED", ("--strict",), 1),
        ("UNHEALTHY", (), 1),
        ("UNHEALTHY", ("--strict",), 1),
    ],
)
def test_the_exit_code_says_how_it_is(
    run: Run,
    with_backplane: Callable[[object], Path],
    status: HealthStatus,
    flags: tuple[str, ...],
    code: int,
) -> None:
    result = run("health", with_backplane(Puppet(status)), "--timeout", "0.1", *flags)

    assert result.exit_code == code
    assert result.stdout.startswith(status)
    assert "a, b" in result.stdout


@pytest.mark.parametrize(
    ("flags", "status"), [((), "DEGRADED"), (("--strict",), "HEALTHY")], ids=["lenient", "strict"]
)
def test_health_waits_until_it_is_good_enough(
    run: Run, with_backplane: Callable[[object], Path], flags: tuple[str, ...], status: str
) -> None:
    config = with_backplane(Puppet("UNHEALTHY", "UNHEALTHY", "DEGRADED", "HEALTHY"))

    result = run("health", config, "--json", "--timeout", "30", *flags)

    assert result.exit_code == 0
    assert json.loads(result.stdout)["status"] == status


class Connecting(Puppet):
    """Has not heard from anybody yet."""

    def health(self) -> Health:
        return structs.replace(super().health(), details={"answered": False})


def test_a_sink_that_has_not_answered_yet_is_waited_for_and_then_unhealthy(
    run: Run, with_backplane: Callable[[object], Path]
) -> None:
    config = with_backplane(Connecting("DEGRADED"))

    result = run("health", config, "--json", "--timeout", "0.1")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["reasons"][0] == "nothing has answered within 0.1 s"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A listener that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_kafka_that_never_answers_is_unhealthy_in_bounded_time(
    run: Run, tmp_path: Path, black_hole: str
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "experimentFramework:\n"
        f"  dataPlane: {{backplane: {{type: kafka, options: {{brokers: '{black_hole}'}}}}}}\n"
    )
    begin = time.monotonic()

    result = run("health", config, "--timeout", "1", "--json")

    assert time.monotonic() - begin < 15
    assert result.exit_code == 1
    assert json.loads(result.stdout)["status"] == "UNHEALTHY"


@pytest.mark.parametrize(
    ("actions", "code"),
    [(("created", "exists"), 0), (("created", "failed"), 1)],
)
def test_provision_says_what_it_did(
    run: Run,
    with_backplane: Callable[[object], Path],
    actions: tuple[str, ...],
    code: int,
) -> None:
    done = tuple(Provisioned(name=f"topic {a}", action=a, detail="6 partitions") for a in actions)
    config = with_backplane(Puppet("HEALTHY", provisioned=done))

    result = run("provision", config)

    assert result.exit_code == code
    for action in actions:
        assert re.search(rf"topic {action} +{action} +6 partitions", result.stdout)
    assert [row["action"] for row in json.loads(run("provision", config, "--json").stdout)] == [
        *actions
    ]


def test_where_there_is_nothing_to_provision_it_is_done(run: Run, file_config: Path) -> None:
    result = run("provision", file_config)

    assert result.exit_code == 0
    assert "nothing to provision" in result.stdout


def test_a_kafka_that_is_down_is_complained_about_once(
    run: Run, tmp_path: Path, black_hole: str
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "experimentFramework:\n"
        f"  dataPlane: {{backplane: {{type: kafka, options: {{brokers: '{black_hole}'}}}}}}\n"
    )
    envelope = '{"eventType": "Error", "payload": {"errorType": "E", "message": "m"}}\n'

    result = run("publish", config, "--timeout", "2", "--json", input=envelope * 50)

    assert result.exit_code == 1
    assert json.loads(result.stdout)["pending"] == 50
    lines = [re.sub(r"\d+", "", line) for line in result.stderr.splitlines()]
    assert len(lines) == len(set(lines))


def test_events_that_a_backplane_logs_are_all_told(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "experimentFramework:\n"
        "  dataPlane: {backplane: {type: logging, options: {level: WARNING}}}\n"
    )
    envelope = '{"eventType": "Error", "payload": {"errorType": "E", "message": "m"}}\n'

    result = run("publish", config, "--json", input=envelope * 30)

    assert result.exit_code == 0
    assert result.stderr.count('"eventType":"Error"') == 30


def test_a_timeout_that_is_no_number_of_seconds_is_a_usage_error(
    run: Run, file_config: Path
) -> None:
    for wrong in ("nan", "-1", "inf", "soon"):
        result = run("health", file_config, f"--timeout={wrong}")
        assert result.exit_code == 2
        assert "Invalid value for '--timeout'" in result.stderr


@pytest.mark.parametrize("command", [("init",), ("schema", "-o")])
def test_a_file_that_cannot_be_written_is_named(run: Run, command: tuple[str, ...]) -> None:
    result = run(*command, "nowhere/file.yaml")
    assert result.exit_code == 1
    assert "Could not open file 'nowhere/file" in result.stderr
    assert "1    a file cannot be written" in run(command[0], "--help").stdout


def test_reasons_are_indented_where_they_take_several_lines(
    run: Run, with_backplane: Callable[[object], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(Puppet, "health", lambda _: Health.judge(unhealthy=("away " * 20,)))

    result = run("health", with_backplane(Puppet("UNHEALTHY")), "--timeout", "0.1")

    status, *reason = result.stdout.split("\n\n")[0].splitlines()
    assert status == "UNHEALTHY"
    assert len(reason) > 1
    assert all(line.startswith("  away") and len(line) <= 40 for line in reason)
