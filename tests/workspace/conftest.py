"""The workspace's wheels, built once, and a plain environment that they are installed into."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from installing import find_uv, plain_environment
from members import MEMBERS, ROOT


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Each distribution's wheel, built from its source distribution, by its name."""
    built = tmp_path_factory.mktemp("wheels")
    if uv := find_uv():
        command = [uv, "build", "--quiet", "--no-build-isolation", "--python", sys.executable]
        _run([*command, "--all-packages", "--out-dir", str(built)])
    else:
        for member in MEMBERS:
            command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(built)]
            _run([*command, str(member.directory)])
    found = {wheel.name.split("-")[0].replace("_", "-"): wheel for wheel in built.glob("*.whl")}
    assert set(found) == {member.name for member in MEMBERS}
    return found


@pytest.fixture(scope="session")
def plain_python(wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment, outside the workspace, with all wheels and their needs."""
    if os.environ.get("UV_OFFLINE"):
        pytest.skip("UV_OFFLINE is set, and pip has to fetch what the wheels require")
    python = plain_environment(tmp_path_factory.mktemp("plain") / "environment")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-compile"]
    _run([*pip, *map(str, wheels.values())])
    return python


@pytest.fixture(scope="session")
def author_python(wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment as the author of a plugin has it: with core's wheel."""
    if os.environ.get("UV_OFFLINE"):
        pytest.skip("UV_OFFLINE is set, and pip has to fetch what the wheels require")
    python = plain_environment(tmp_path_factory.mktemp("author") / "environment")
    needed = [wheels[name] for name in ("experiment-framework-core", "experiment-framework-local")]
    _run([str(python), "-m", "pip", "install", "--quiet", "--no-compile", *map(str, needed)])
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
