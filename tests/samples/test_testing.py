"""The samples that are tests themselves pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "sample", ["testing/test_checkout.py", "third_party_backplane/test_conformance.py"]
)
def test_a_sample_of_tests_passes(samples: Path, tmp_path: Path, sample: str) -> None:
    program = samples / sample
    options = ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", os.devnull]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, str(program)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(program.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
