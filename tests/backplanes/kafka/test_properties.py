from __future__ import annotations

import importlib.util
import json
import sys
from importlib.resources import files
from pathlib import Path

import confluent_kafka
import pytest
from experiment_framework_kafka.additional_config import GOVERNED, UNSAFE
from experiment_framework_kafka.properties import PROPERTIES

SCRIPT = Path(__file__).parents[3] / "backplanes/kafka/scripts/generate_properties.py"
SHIPPED = files("experiment_framework_kafka") / "librdkafka_properties.json"


@pytest.mark.skipif(sys.platform != "linux", reason="the script runs on Linux")
def test_the_shipped_list_is_what_the_installed_librdkafka_prints() -> None:
    if json.loads(SHIPPED.read_text())["librdkafka"] != confluent_kafka.libversion()[0]:
        pytest.skip("another librdkafka is installed")
    spec = importlib.util.spec_from_file_location("generate_properties", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert SHIPPED.read_text() == script.generate()


def test_the_names_that_we_refuse_are_names_of_librdkafka() -> None:
    assert {*GOVERNED, *UNSAFE} <= set(PROPERTIES)
