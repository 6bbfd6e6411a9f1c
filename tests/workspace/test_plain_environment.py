"""The wheels do their work where nothing but pip installed them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from members import UMBRELLA

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PROGRAM = """
from experiment_framework import DataPlane, Exposure

with DataPlane.from_config("experiments.yaml") as plane:
    plane.publish(Exposure(experiment_name="checkout", variant_key="b", subject_id="user-1"))
print(plane.stats().delivered)
"""

FILE_CONFIG = """
experimentFramework:
  dataPlane:
    samplingRate: 1.0
    backplane:
      type: file
      options: {path: events.jsonl}
"""

KAFKA_CONFIG = """
experimentFramework:
  dataPlane:
    backplane: {type: kafka, options: {brokers: ["localhost:9092"], acks: 7}}
"""


def run(program: Path, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(program), *arguments],
        cwd=directory,
        env=kept,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def experiment(python: Path, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = python.with_name("experiment.exe" if os.name == "nt" else "experiment")
    return run(script, directory, *arguments)


def test_the_command_says_its_version(plain_python: Path, tmp_path: Path) -> None:
    done = experiment(plain_python, tmp_path, "--version")
    assert done.returncode == 0, done.stderr
    assert UMBRELLA.project["version"] in done.stdout


def test_every_plugin_is_found_and_can_be_loaded(plain_python: Path, tmp_path: Path) -> None:
    done = experiment(plain_python, tmp_path, "plugins", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    reports = json.loads(done.stdout)
    assert {report["name"]: report["status"] for report in reports} == {
        "composite": "loaded",
        "file": "loaded",
        "kafka": "loaded",
        "logging": "loaded",
        "memory": "loaded",
        "opentelemetry": "loaded",
        "samplingRate": "loaded",
        "samplingSalt": "loaded",
        "schemaRegistryJson": "loaded",
        "sql": "loaded",
    }
    assert all(report["optionsSchema"] for report in reports)


def test_a_configuration_is_validated(plain_python: Path, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(FILE_CONFIG)
    (tmp_path / "bad.yaml").write_text(KAFKA_CONFIG)
    good = experiment(plain_python, tmp_path, "validate", "good.yaml")
    assert good.returncode == 0, good.stdout + good.stderr
    bad = experiment(plain_python, tmp_path, "validate", "bad.yaml")
    assert bad.returncode == 2, bad.stdout + bad.stderr
    assert "bad.yaml:4:" in bad.stdout + bad.stderr


def test_a_program_publishes(plain_python: Path, tmp_path: Path) -> None:
    (tmp_path / "experiments.yaml").write_text(FILE_CONFIG)
    done = run(plain_python, tmp_path, "-W", "error", "-c", PROGRAM)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1"
    (line,) = (tmp_path / "events.jsonl").read_text().splitlines()
    assert json.loads(line)["payload"]["experimentName"] == "checkout"


def test_nothing_of_the_workspace_is_imported(plain_python: Path, tmp_path: Path) -> None:
    done = run(plain_python, tmp_path, "-c", "import experiment_framework as f; print(f.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(plain_python.parents[1])
