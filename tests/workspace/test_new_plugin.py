"""What the page about shipping a backplane says to do, done, with our wheels and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from installing import plain_environment
from members import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = (ROOT / "docs" / "how-to" / "new-plugin.md").read_text("utf-8")
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.startswith("$ ")
]


@pytest.fixture(scope="module")
def environment(wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of a new environment with our wheels."""
    if os.environ.get("UV_OFFLINE"):
        pytest.skip("UV_OFFLINE is set, and pip has to fetch what the wheels require")
    python = plain_environment(tmp_path_factory.mktemp("author") / "environment")
    needed = [wheels[name] for name in ("experiment-framework-core", "experiment-framework-local")]
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-compile", *needed],
        check=True,
        timeout=300,
    )
    return python.parent


def test_every_command_of_the_page_does_what_it_says(environment: Path, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    kept["PATH"] = os.pathsep.join([str(environment), os.environ["PATH"]])

    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(COMMANDS)],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d\d passed", done.stdout)
    assert "failed" not in done.stdout
    assert re.search(r"backplane +lines +loaded +lines-backplane", done.stdout)


def test_the_page_has_commands() -> None:
    assert COMMANDS[0] == "experiment new-plugin lines"
    assert len(COMMANDS) >= 6
