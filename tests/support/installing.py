"""Installs wheels with the installer that is at hand."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def find_uv() -> str | None:
    """Give the uv that runs these tests, or the one on the path; None where there is none."""
    return os.environ.get("UV") or shutil.which("uv")


def install(wheels: Iterable[Path], target: Path) -> None:
    """Install wheels into a directory, without their dependencies and without a network."""
    subprocess.run(
        [
            *_installer(target.parent),
            "--quiet",
            "--no-deps",
            "--no-index",
            "--target",
            str(target),
            *map(str, wheels),
        ],
        check=True,
        timeout=120,
    )


def _installer(directory: Path) -> list[str]:
    if uv := find_uv():
        return [uv, "pip", "install", "--offline", "--python", sys.executable]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install"]
    return [str(plain_environment(directory / "installer")), "-m", "pip", "install"]


def plain_environment(directory: Path) -> Path:
    """Make a virtual environment with pip and nothing else, once; give its Python."""
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True, timeout=120)
    return python
