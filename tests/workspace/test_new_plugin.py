"""What the page about shipping a backplane says to do, done, with our wheels and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from members import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = (ROOT / "docs" / "how-to" / "new-plugin.md").read_text("utf-8")
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.startswith("$ ")
]


def test_every_command_of_the_page_does_what_it_says(author_python: Path, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    kept["PATH"] = os.pathsep.join([str(author_python.parent), os.environ["PATH"]])

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
