"""Commands that look and change nothing: validate, describe, schema, plugins."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from click.testing import Result

Run = Callable[..., Result]

CANARY = "canary-secret-1"


@pytest.fixture
def kafka_config(tmp_path: Path) -> Path:
    config = tmp_path / "kafka.yaml"
    config.write_text(
        "experimentFramework:\n"
        "  dataPlane:\n"
        "    batchSize: 250\n"
        "    backplane:\n"
        "      type: kafka\n"
        "      options:\n"
        "        brokers: ['${DESCRIBED_BROKERS:-localhost:9092}']\n"
        "        lingerMs: 7\n"
        "        security:\n"
        "          protocol: SASL_SSL\n"
        "          mechanism: PLAIN\n"
        "          username: me\n"
        f"          password: {CANARY}\n"
    )
    return config


def test_a_valid_file_is_said_to_be_valid(run: Run, kafka_config: Path) -> None:
    result = run("validate", kafka_config)

    assert result.exit_code == 0
    assert result.stdout == f"{kafka_config}: valid, type kafka\n"


def test_every_file_is_checked_and_every_problem_shown(
    run: Run, kafka_config: Path, bad_config: Path
) -> None:
    result = run("validate", bad_config, kafka_config)

    assert result.exit_code == 2
    assert f"{kafka_config}: valid" in result.stdout
    assert f"{bad_config}: 2 problems" in result.stderr
    assert "Did you mean `batchSize`?" in result.stderr
    assert "    3 |     batchsize: 500\n      |     ^^^^^^^^^\n" in result.stderr


def test_problems_as_json_have_their_places(run: Run, bad_config: Path) -> None:
    result = run("validate", bad_config, "--json")

    (verdict,) = json.loads(result.stdout)
    assert result.exit_code == 2
    assert result.stderr == ""
    assert verdict["valid"] is False
    assert [problem["path"] for problem in verdict["problems"]] == [
        "dataPlane.batchsize",
        "dataPlane.backplane.options.rotateBytes",
    ]
    assert verdict["problems"][0]["location"] == {
        "file": str(bad_config),
        "line": 3,
        "column": 5,
    }


def test_nothing_needs_to_run_for_a_check(run: Run, kafka_config: Path) -> None:
    result = run("validate", kafka_config, env={"DESCRIBED_BROKERS": "nowhere.invalid:1"})

    assert result.exit_code == 0


def test_describe_says_where_each_value_is_from(run: Run, kafka_config: Path) -> None:
    environ = {"DESCRIBED_BROKERS": "one:9092,two:9092"}

    result = run("describe", kafka_config, "--json", env=environ)

    described = json.loads(result.stdout)
    values = {each["path"]: each for each in described["values"]}
    options = "dataPlane.backplane.options"
    assert described["backplane"]["type"] == "kafka"
    assert values[f"{options}.brokers"]["value"] == ["one:9092", "two:9092"]
    assert values[f"{options}.brokers"]["origin"].startswith("environment DESCRIBED_BROKERS at")
    assert values[f"{options}.lingerMs"]["origin"] == f"{kafka_config}:8:19"
    assert values[f"{options}.acks"] == {
        "path": f"{options}.acks",
        "value": "all",
        "origin": "default",
        "usedBy": None,
    }
    assert values["dataPlane.batchSize"]["usedBy"] == "not used by kafka"


def test_describe_shows_what_the_client_is_given(run: Run, kafka_config: Path) -> None:
    settings = json.loads(run("describe", kafka_config, "--json").stdout)["clientSettings"]

    assert settings["linger.ms"] == "7"
    assert settings["queue.buffering.max.messages"] == "100000"
    assert settings["enable.idempotence"] in {"true", "True"}
    assert "linger.ms" in run("describe", kafka_config).stdout


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_describe_shows_no_secret(run: Run, kafka_config: Path, options: tuple[str, ...]) -> None:
    result = run("describe", kafka_config, *options)

    assert result.exit_code == 0
    assert CANARY not in result.output
    assert "***" in result.output


def test_the_schema_knows_the_installed_backplanes(
    run: Run, kafka_config: Path, bad_config: Path
) -> None:
    schema = json.loads(run("schema").stdout)
    check = jsonschema.Draft202012Validator(schema)
    check.check_schema(schema)

    def document(backplane: dict[str, object]) -> dict[str, object]:
        return {"experimentFramework": {"dataPlane": {"backplane": backplane}}}

    kafka = {"type": "kafka", "options": {"brokers": ["localhost:9092"]}}
    assert check.is_valid(document(kafka))
    assert check.is_valid(document({"type": "memory"}))
    assert not check.is_valid(document({"type": "kafka", "options": {"broker": "x"}}))
    assert not check.is_valid(document({"type": "pigeon"}))


def test_the_schema_can_be_written_to_a_file(run: Run, tmp_path: Path) -> None:
    result = run("schema", "--output", tmp_path / "s.json")

    assert (result.exit_code, result.output) == (0, "")
    assert json.loads((tmp_path / "s.json").read_text()) == json.loads(run("schema").stdout)


def test_the_schema_as_json_is_one_line(run: Run) -> None:
    assert run("schema", "--json").stdout.count("\n") == 1


def test_plugins_are_listed_with_their_distributions(run: Run) -> None:
    reports = json.loads(run("plugins", "--json").stdout)

    found = {(report["kind"], report["name"]): report for report in reports}
    assert found["backplane", "kafka"]["distribution"] == "experiment-framework-kafka"
    assert found["backplane", "file"]["status"] == "loaded"
    assert found["step", "samplingRate"]["status"] == "loaded"
    assert "experiment-framework-kafka" in run("plugins").stdout


@pytest.mark.parametrize("config", ["file_config", "kafka_config"])
def test_a_check_loads_only_what_it_needs(config: str, request: pytest.FixtureRequest) -> None:
    written: Path = request.getfixturevalue(config)
    program = (
        "import sys\n"
        "from experiment_framework._cli.main import experiment\n"
        "try:\n"
        f"    experiment.main(['validate', {str(written)!r}])\n"
        "except SystemExit:\n"
        "    heavy = {'rich', 'asyncio', 'ssl', 'confluent_kafka'} & set(sys.modules)\n"
        "    sys.exit(', '.join(heavy) or 0)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


def test_names_stay_whole_on_a_narrow_terminal(run: Run) -> None:
    result = run("plugins", env={"COLUMNS": "40"})
    rows = result.stdout.splitlines()

    assert [row.split()[1] for row in rows[1:]].count("samplingRate") == 1
    assert all("experiment-framework-" in row for row in rows[1:])


def test_no_line_of_a_table_ends_in_blanks(run: Run, kafka_config: Path) -> None:
    for command in (("plugins",), ("describe", kafka_config)):
        lines = run(*command, env={"COLUMNS": "300"}).stdout.splitlines()
        assert [line for line in lines if line != line.rstrip()] == []
