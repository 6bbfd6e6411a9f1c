from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What a build reads, in a folder of its own."""
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for name in ("core", "backplanes", "plugins"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_the_site_builds_strictly(project: Path) -> None:
    zensical = Path(sys.executable).with_name("zensical")

    done = subprocess.run(
        [zensical, "build", "--strict"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    api = (project / "site" / "reference" / "api" / "index.html").read_text(encoding="utf-8")
    assert "Takes typed events" in api
