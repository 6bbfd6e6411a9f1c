"""What a configuration comes to: every value and where it is from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiment_framework._config import EffectiveValue, load
from experiment_framework._registry import Registry

Loaded = Callable[..., Any]

TEXT = """\
x-login: &login {user: me}
experimentFramework:
  dataPlane:
    batchSize: 5
    rate: 0.5
    backplane:
      type: ${KIND:-sink}
      options:
        url: here
        hosts: ["${HOST}:1", b:2]
        login: {<<: *login, password: "${PW}"}
        extra: {a: 1, db.password: x}
"""


def _values(config: Any) -> dict[str, EffectiveValue]:
    return {".".join(map(str, value.path)): value for value in config.values}


def test_each_value_has_its_origin(load_config: Loaded) -> None:
    values = _values(load_config(TEXT, {"HOST": "a", "PW": "canary", "KIND": "sink"}))
    found = {path: (value.value, value.origin) for path, value in values.items()}
    options = "dataPlane.backplane.options"
    assert found["dataPlane.batchSize"] == (5, "<text>:4:16")
    assert found["dataPlane.maxQueueSize"] == (100_000, "default")
    assert found["dataPlane.rate"] == (0.5, "<text>:5:11")
    assert found["dataPlane.rateSalt"] == ("", "default")
    assert found["dataPlane.backplane.type"] == ("sink", "environment KIND at <text>:7:13")
    assert found[f"{options}.url"] == ("here", "<text>:9:14")
    assert found[f"{options}.hosts"] == (["a:1", "b:2"], "environment HOST at <text>:10:16")
    assert found[f"{options}.login.user"] == ("me", "<text>:1:24")
    assert found[f"{options}.login.password"] == ("***", "environment PW at <text>:11:39")
    assert found[f"{options}.login.passwordFile"] == (None, "default")
    assert found[f"{options}.extra.a"] == (1, "<text>:12:20")
    assert found[f"{options}.extra.db.password"] == ("***", "<text>:12:36")
    assert found[f"{options}.folder"] == ("here", "default")
    assert found[f"{options}.retention"] == (False, "default")


def test_a_default_in_a_reference_is_from_the_file(load_config: Loaded) -> None:
    values = _values(load_config(TEXT.replace("${HOST}", "${HOST:-a}"), {"KIND": "", "PW": "p"}))
    assert values["dataPlane.backplane.type"].origin == "<text>:7:13"
    hosts = values["dataPlane.backplane.options.hosts"]
    assert (hosts.value, hosts.origin) == (["a:1", "b:2"], "<text>:10:16")


def test_a_step_that_is_not_declared_has_no_values(load_config: Loaded) -> None:
    values = _values(load_config(TEXT.replace("    rate: 0.5\n", ""), {"HOST": "a", "PW": "p"}))
    assert "dataPlane.rate" not in values


def test_batch_keys_say_who_does_not_use_them(registry: Registry) -> None:
    text = """\
experimentFramework:
  dataPlane:
    backplane: {type: kafka, options: {brokers: "a:9092"}}
"""
    kafka = _values(load(text, registry=registry, environ={}))
    assert kafka["dataPlane.batchSize"].used_by == "not used by kafka"
    assert kafka["dataPlane.flushIntervalMs"].used_by == "not used by kafka"
    assert kafka["dataPlane.backplane.options.batchSize"].used_by == ""
    file = _values(
        load(
            text.replace("type: kafka", "type: file").replace('brokers: "a:9092"', "path: x"),
            registry=registry,
            environ={},
        )
    )
    assert file["dataPlane.batchSize"].used_by == ""


def test_a_file_is_called_as_it_was_given(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "experiments.yaml"
    path.write_text("experimentFramework: {dataPlane: {batchSize: 1, backplane: {type: memory}}}\n")
    for given in (path, str(path)):
        config = load(given, registry=registry)
        assert config.source == str(path)
        assert _values(config)["dataPlane.batchSize"].origin == f"{path}:1:46"


def test_a_mapping_has_no_lines(load_config: Loaded) -> None:
    source = {
        "experimentFramework": {"dataPlane": {"batchSize": 1, "backplane": {"type": "memory"}}}
    }
    config = load_config(source)
    assert config.source == "<mapping>"
    assert _values(config)["dataPlane.batchSize"].origin == "<mapping>"
