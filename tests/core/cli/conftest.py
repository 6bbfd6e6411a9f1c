from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from experiment_framework._cli import planes
from experiment_framework._cli.main import experiment
from experiment_framework._config import load
from experiment_framework._registry import Registry

Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[bytes]"]

EXPERIMENT = str(Path(sys.executable).with_name("experiment"))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what commands write where they stand out of the tree."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run() -> Run:
    """Run a command in this process; what is raised besides exits is raised here, too."""

    def run(*arguments: str | Path, **options: object) -> Result:
        return CliRunner().invoke(
            experiment,
            [str(argument) for argument in arguments],
            prog_name="experiment",
            catch_exceptions=False,
            **options,  # type: ignore[arg-type]  # those of CliRunner.invoke
        )

    return run


@pytest.fixture
def with_backplane(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[object], Path]:
    """Write a configuration whose backplane is the object given."""

    def with_backplane(plugin: object) -> Path:
        registry = Registry()
        registry.register_backplane("puppet", plugin)
        monkeypatch.setattr(planes, "load", lambda path: load(path, registry=registry))
        config = tmp_path / "puppet.yaml"
        config.write_text("experimentFramework: {dataPlane: {backplane: {type: puppet}}}\n")
        return config

    return with_backplane


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a command as a program of its own; what is left of it ends with the test."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGINT, before)

        def start(
            *arguments: str | Path, environ: Mapping[str, str] | None = None, **options: object
        ) -> subprocess.Popen[bytes]:
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            process = subprocess.Popen(
                [EXPERIMENT, *map(str, arguments)],
                env={**os.environ, **(environ or {})},
                **(pipes | options),  # type: ignore[arg-type]  # those of Popen
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture
def file_config(tmp_path: Path) -> Path:
    """A configuration whose events land in ``events.jsonl`` beside it."""
    config = tmp_path / "experiments.yaml"
    config.write_text(
        "experimentFramework:\n"
        "  dataPlane:\n"
        "    flushIntervalMs: 10\n"
        "    backplane:\n"
        "      type: file\n"
        f"      options: {{path: {tmp_path / 'events.jsonl'}}}\n"
    )
    return config


@pytest.fixture
def bad_config(tmp_path: Path) -> Path:
    """A configuration with two problems."""
    config = tmp_path / "bad.yaml"
    config.write_text(
        "experimentFramework:\n"
        "  dataPlane:\n"
        "    batchsize: 500\n"
        "    backplane:\n"
        "      type: file\n"
        "      options: {path: events.jsonl, rotateBytes: many}\n"
    )
    return config
