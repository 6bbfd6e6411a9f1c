"""What it costs to begin: the import, and the command line on a small file."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.report import Spread, table

SAMPLES = Path(__file__).parents[1] / "samples" / "experiment_definitions"
EXPERIMENT = Path(sys.executable).with_name("experiment")

# Without its bytecode kept, each start would also measure the compiler, on our modules only.
_ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

_REFUSED = 2

_TIME_IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def measure_startup(*, rounds: int) -> None:
    """Print the import's cost beside that of the two libraries below it, and the CLI's."""
    _import_seconds("experiment_framework")
    pairs = [
        (_import_seconds("experiment_framework"), _import_seconds("msgspec, uuid_utils"))
        for _ in range(rounds)
    ]
    validate = [str(EXPERIMENT), "validate", str(SAMPLES / "kafka-backplane-example.yaml")]
    validating = [_seconds(validate) for _ in range(rounds)]
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.yaml"
        large.write_text("".join(f"x-{number}: {{a: [b, c]}}\n" for number in range(50_000)))
        refusing = [_seconds([str(EXPERIMENT), "validate", str(large)]) for _ in range(rounds)]
    empty = [_seconds([sys.executable, "-c", "pass"]) for _ in range(rounds)]
    table(
        f"starting: {rounds} alternating rounds",
        ["", "median (min to max)"],
        [
            ["import experiment_framework, ms", str(Spread([ours * 1e3 for ours, _ in pairs]))],
            ["import msgspec, uuid_utils, ms", str(Spread([base * 1e3 for _, base in pairs]))],
            ["ratio", str(Spread([ours / base for ours, base in pairs]))],
            ["experiment validate, s", str(Spread(validating))],
            ["the same of 1 MB, which is refused, s", str(Spread(refusing))],
            ["python -c pass, s", str(Spread(empty))],
        ],
    )


def _import_seconds(names: str) -> float:
    command = [sys.executable, "-c", _TIME_IMPORT.format(names)]
    return float(_run(command))


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    _run(command)
    return time.perf_counter() - started


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_ENVIRON)
    if done.returncode not in (0, _REFUSED):
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout
