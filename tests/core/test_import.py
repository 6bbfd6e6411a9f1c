"""What a program pays for that only imports the package."""

from __future__ import annotations

import json
import subprocess
import sys

LOADED = "import json, sys; import experiment_framework; print(json.dumps(sorted(sys.modules)))"

# Loaded by from_config, by a backplane, or by the command line; numpy and OpenTelemetry by nobody.
NEEDED_LATER = {
    "asyncio",
    "attr",
    "attrs",
    "cattrs",
    "click",
    "confluent_kafka",
    "importlib.metadata",
    "logging",
    "numpy",
    "opentelemetry",
    "pluggy",
    "rich",
    "ruamel.yaml",
}


def test_an_import_loads_nothing_that_is_needed_later_only() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=30
    )
    assert NEEDED_LATER.intersection(json.loads(done.stdout)) == set()
