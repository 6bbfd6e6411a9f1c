"""Programs that are run as processes of their own, and what arrived from them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from child_programs import Events, Program


@pytest.fixture
def events(tmp_path: Path) -> Events:
    return Events(tmp_path / "events.jsonl")


@pytest.fixture
def program(tmp_path: Path, events: Events) -> Program:
    return Program(tmp_path, events)


@pytest.fixture
def started(program: Program) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a program and wait until it has printed ``ready``; it is gone after the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(source: str) -> subprocess.Popen[str]:
        process = program.start(source)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
