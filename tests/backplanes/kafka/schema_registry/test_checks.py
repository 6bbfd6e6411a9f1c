from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from experiment_framework import ConfigError
from experiment_framework._config import load
from experiment_framework_kafka.schema_registry import checks


def problems(**encoding: Any) -> list[str]:
    data_plane = {
        "encoding": {"type": "schemaRegistryJson", "url": "http://localhost:8081"} | encoding,
        "backplane": {"type": "kafka", "options": {"brokers": "localhost:9092"}},
    }
    try:
        load({"experimentFramework": {"dataPlane": data_plane}})
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_a_url_is_enough() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ({"url": "localhost:8081"}, "encoding.url: this is no URL"),
        ({"url": "ftp://registry"}, "encoding.url: this is no URL"),
        ({"url": "http://me:canary@registry"}, "must not have the log-in in it"),
        ({"password": "canary"}, "password needs username"),
        ({"username": "me"}, "username needs password"),
        ({"username": "me", "passwordFile": "/missing"}, "passwordFile: cannot be read"),
        ({"caFile": "/missing"}, "caFile: cannot be read"),
        ({"timeoutMs": 0}, "timeoutMs: outside"),
        ({"subjectNames": "topc"}, "topicRecord"),
        ({"autoRegistr": True}, "Did you mean `autoRegister`?"),
    ],
)
def test_a_problem_names_its_option(encoding: dict[str, Any], expected: str) -> None:
    found = "\n".join(problems(**encoding))
    assert expected in found
    assert "canary" not in found


def test_a_password_is_given_once(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("x")
    found = problems(username="me", password="canary", passwordFile=str(tmp_path / "password"))
    assert "given twice" in found[0]
    assert "canary" not in str(found)


def test_the_library_has_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_NEEDED", ("no_such_module_here",))
    (problem,) = problems()
    assert "no_such_module_here" in problem
    assert "experiment-framework-kafka[schema-registry]" in problem
