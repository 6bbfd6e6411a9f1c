"""The end of a process that has several backplanes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import sys
from experiment_framework import DataPlane, Exposure

folder = sys.argv[1]
event = Exposure(experiment_name="checkout", variant_key="a", subject_id="user-1")
member = lambda name, said: {
    "type": "file", "name": name, "options": {"path": f"{folder}/{name}.jsonl"},
    "flushIntervalMs": 60000, **said,
}
plane = DataPlane.from_config({"experimentFramework": {"dataPlane": {
    "closeTimeoutMs": 1000,
    "backplanes": [member("a", {}), member("gone/b", {"required": False})],
}}})
for _ in range(1000):
    plane.publish(event)
"""


def test_what_falls_off_the_end_is_drained_within_one_budget(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    program = PROGRAM.replace(
        "for _ in", "import shutil; shutil.rmtree(f'{folder}/gone')\nfor _ in"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert time.monotonic() - began < 10
    assert (
        len([json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]) == 1000
    )
    assert "Traceback" not in done.stderr
