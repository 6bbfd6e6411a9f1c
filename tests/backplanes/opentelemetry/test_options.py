from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from experiment_framework import ConfigError
from experiment_framework._config import load
from experiment_framework_opentelemetry import OpenTelemetryOptions
from experiment_framework_opentelemetry.checks import check_options


def loaded(options: dict[str, Any]) -> Any:
    backplane = {"type": "opentelemetry", "options": options}
    return load({"experimentFramework": {"dataPlane": {"backplane": backplane}}})


def problems(options: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(options)
    return [str(problem) for problem in caught.value.problems]


def test_nothing_is_required() -> None:
    assert loaded({}).backplane_options == OpenTelemetryOptions()


def test_signals_are_a_list_or_text_with_commas() -> None:
    assert loaded({"signals": "spans,logs"}).backplane_options.signals == ["spans", "logs"]
    assert "metrics" in problems({"signals": ["metrics"]})[0]


def test_an_endpoint_is_a_url() -> None:
    assert "endpoint" in problems({"otlp": {"endpoint": "localhost:4318"}})[0]
    assert "endpoint" in problems({"otlp": {}})[0]


@pytest.mark.parametrize("name", ["a b", "", "Content-Type", "x\ny"])
def test_a_header_that_cannot_be_sent_is_a_problem(name: str) -> None:
    otlp = {"endpoint": "http://localhost:4318", "headers": {name: "x"}}
    assert "header" in problems({"otlp": otlp})[0]


def test_the_value_of_a_header_is_never_shown() -> None:
    otlp = {"endpoint": "http://localhost:4318", "headers": {"api-key": "canary-secret\n"}}
    (problem,) = problems({"otlp": otlp})
    assert "printable ASCII" in problem
    assert "canary" not in problem
    config = loaded({"otlp": otlp | {"headers": {"api-key": "canary-secret"}}})
    assert "canary" not in f"{config.values} {config.backplane_options}"


def test_files_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    otlp = {
        "endpoint": "https://localhost:4318",
        "caFile": str(tmp_path / "missing.pem"),
        "certFile": str(tmp_path / "empty.pem"),
    }
    found = problems({"otlp": otlp})
    assert "caFile" in found[0]
    assert "cannot be read" in found[0]
    assert any("is empty" in each for each in found)
    assert any("certFile needs keyFile" in each for each in found)


def test_grpc_has_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiment_framework_opentelemetry.checks.has_grpc", lambda: False)
    options = loaded({"signals": ["spans"]}).backplane_options
    from experiment_framework_opentelemetry import OtlpOptions

    options = OpenTelemetryOptions(
        signals=options.signals, otlp=OtlpOptions(endpoint="http://localhost:4317", protocol="grpc")
    )
    (problem,) = check_options(options)
    assert "experiment-framework-opentelemetry[grpc]" in str(problem.suggestion)
