"""The wall clock of one process, set forward and back."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["SteppingClock"]

CLOCK = Path(__file__).with_name("stepping_clock.c")


class SteppingClock:
    """Moves the wall clock that a program sees, in C and Rust as in Python.

    Args:
        folder: Where its files may be.

    Attributes:
        environment: What a process is given so that this is its clock.
        offset: The file that says how many seconds it is beside the true time.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None or not sys.platform.startswith("linux"):
            pytest.skip("a C compiler on Linux is needed to move the clock of a process")
        library = folder / "stepping_clock.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", library, CLOCK, "-ldl"], check=True, timeout=60
        )
        self.offset = folder / "offset"
        self.offset.write_bytes(struct.pack("q", 0))
        self.environment = {"LD_PRELOAD": str(library), "STEPPING_CLOCK": str(self.offset)}

    def step(self, seconds: int) -> None:
        """Set the clock to so many seconds beside the true time."""
        with self.offset.open("r+b") as file:
            file.write(struct.pack("q", seconds))
