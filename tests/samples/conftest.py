"""What the tests of the samples share: where they are, a Kafka for them, and how one is run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from experiment_framework_kafka import EmbeddedKafka

SAMPLES = Path(__file__).resolve().parents[2] / "samples"

Run = Callable[..., str]


@pytest.fixture(scope="session")
def samples() -> Path:
    return SAMPLES


@pytest.fixture(scope="session")
def kafka() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka() as cluster:
        yield cluster


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a sample as a person would, in an empty folder, and give what it printed."""

    def run(program: str, config: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, SAMPLES / program, SAMPLES / config],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run
