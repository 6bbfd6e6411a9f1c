"""It is found by its type, and its options are checked."""

from pathlib import Path

import pytest
from experiment_framework import ConfigError, DataPlane, Exposure, decode

CONFIG = """
experimentFramework:
  dataPlane:
    backplane:
      type: sample
      options: {path: "${EVENTS}"}
"""


def test_its_type_selects_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with DataPlane.from_config(CONFIG, environ={"EVENTS": str(path)}) as plane:
        plane.publish(Exposure(experiment_name="checkout", variant_key="b", subject_id="user-1"))

    (line,) = path.read_bytes().splitlines()
    assert decode(line).event_type == "Exposure"


def test_a_folder_is_a_problem_at_its_line() -> None:
    with pytest.raises(ConfigError, match=r":6:\d+: .*path: this is a folder"):
        DataPlane.from_config(CONFIG, environ={"EVENTS": "/tmp/"})
