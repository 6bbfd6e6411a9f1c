from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def generate(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, root / "docs" / "generate.py", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the documentation that a test may spoil."""
    for folder in ("docs", "samples"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def test_what_comes_from_code_is_in_step_with_it() -> None:
    done = generate(ROOT, "--check")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_sample_that_changed_is_out_of_step_until_it_is_written_again(copy: Path) -> None:
    sample = copy / "samples" / "quick_start.py"
    sample.write_text(sample.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")

    before = generate(copy, "--check")
    written = generate(copy)
    after = generate(copy, "--check")

    assert before.returncode == 1
    assert "README.md: out of step" in before.stdout
    assert "README.md: written" in written.stdout
    assert "# changed" in (copy / "README.md").read_text(encoding="utf-8")
    assert (after.returncode, after.stdout) == (0, "")
