"""Programs that a test runs as processes of their own, and what arrived from them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import attrs
from experiment_framework import decode

# From Python 3.12 on a fork beside threads is warned of: here it is what is tested.
WARNINGS = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")

PRELUDE = """
import atexit, os, signal, sys, threading, time
from experiment_framework import DataPlane, Exposure

def exposure(subject):
    return Exposure(experiment_name="checkout", variant_key="b", subject_id=str(subject))

def file_plane(**options):
    return DataPlane.from_config({"experimentFramework": {"dataPlane": {
        "backplane": {"type": "file", "options": {"path": sys.argv[1], "fsync": "never"}},
        **options,
    }}})
"""


@attrs.frozen
class Events:
    """The file that a program writes its events to."""

    path: Path

    def subjects(self) -> Counter[str]:
        """How often the event of each subject is there."""
        lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
        payloads = [decode(line).payload for line in lines]
        return Counter(getattr(payload, "subject_id", "") or "" for payload in payloads)


@attrs.frozen
class Program:
    """Starts programs and gives what became of them."""

    folder: Path
    events: Events

    def start(self, source: str, *arguments: str) -> subprocess.Popen[str]:
        program = self.folder / "program.py"
        program.write_text(PRELUDE + textwrap.dedent(source), "utf-8")
        return subprocess.Popen(
            [sys.executable, *WARNINGS, program, self.events.path, *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )

    def run(self, source: str, *arguments: str) -> tuple[int, str, str]:
        """Give the exit code, and what was printed on both streams."""
        with self.start(source, *arguments) as process:
            try:
                out, err = process.communicate(timeout=60)
            finally:
                process.kill()
        return process.returncode, out, err
