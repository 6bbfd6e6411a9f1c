"""A backplane from outside the workspace, from its wheel, beside our wheels and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from members import ROOT, UMBRELLA

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SAMPLE = ROOT / "samples" / "third_party_redis"
PROGRAM = """
import socket, subprocess, sys, time
from experiment_framework import DataPlane, Exposure, decode
from experiment_framework.plugin import Query

with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
server = subprocess.Popen(["redis-server", "--port", str(port), "--save", ""], stdout=2)
try:
    environ = {"REDIS_URL": f"redis://127.0.0.1:{port}/0"}
    with DataPlane.from_config(sys.argv[1], environ=environ) as plane:
        for number in range(3):
            plane.publish(Exposure(experiment_name="e", variant_key="b", subject_id=str(number)))
        assert plane.flush(20).is_complete, plane.health()
        found = [decode(each.body).payload.subject_id for each in plane.read(Query())]
        print(",".join(found))
finally:
    server.kill()
"""


@pytest.fixture(scope="module")
def python(author_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment with the sample's wheel."""
    if shutil.which("redis-server") is None:
        missing = "redis-server is not installed (.ci/redis does that on Debian)"
        if os.environ.get("EXPERIMENT_REQUIRE_REDIS"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    copy = tmp_path_factory.mktemp("redis") / "sample"
    shutil.copytree(SAMPLE, copy)
    for arguments in (
        ["wheel", "--quiet", "--no-deps", "--wheel-dir", str(copy / "dist"), str(copy)],
        ["install", "--quiet", "--find-links", str(copy / "dist"), "redis-backplane[test]"],
    ):
        done = run(author_python, copy, "-m", "pip", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    return author_python


def run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [python, *arguments],
        cwd=folder,
        env=kept,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_its_own_tests_pass_the_conformance_suite_among_them(python: Path, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE / "tests", tmp_path / "tests")
    shutil.copy(SAMPLE / "pyproject.toml", tmp_path)

    done = run(python, tmp_path, "-m", "pytest", "-q")

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[0-9]{2} passed", done.stdout), done.stdout  # and not all of them skipped
    assert "failed" not in done.stdout


def test_its_type_selects_it(python: Path, tmp_path: Path) -> None:
    done = run(python, tmp_path, "-W", "error", "-c", PROGRAM, str(SAMPLE / "experiments.yaml"))

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "0,1,2"


def test_it_is_small_and_uses_the_public_api_only() -> None:
    source = (SAMPLE / "redis_backplane" / "__init__.py").read_text("utf-8")

    assert len([line for line in source.splitlines() if line.strip()]) <= 60
    assert "experiment_framework._" not in source
    assert "from experiment_framework.plugin import" in source


def test_it_is_outside_the_workspace() -> None:
    patterns = UMBRELLA.pyproject["tool"]["uv"]["workspace"]["members"]

    assert not any(path == SAMPLE for pattern in patterns for path in ROOT.glob(pattern))
