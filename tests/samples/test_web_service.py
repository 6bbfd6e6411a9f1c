from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from experiment_framework import Exposure, decode
from fastapi.testclient import TestClient


@pytest.fixture
def service(samples: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("service", samples / "web_service/service.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def events(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXPERIMENTS", str(samples / "web_service/experiments.yaml"))
    monkeypatch.setenv("EVENTS_PATH", str(tmp_path / "events.jsonl"))
    return tmp_path / "events.jsonl"


@pytest.fixture
def client(service: ModuleType, events: Path) -> Iterator[TestClient]:
    with TestClient(service.app) as client:
        yield client


def test_its_requests_are_events_when_it_has_stopped(service: ModuleType, events: Path) -> None:
    with TestClient(service.app) as client:
        assert client.get("/checkout/ann").json() == {"button": "green"}
        assert client.get("/checkout/mary").json() == {"button": "blue"}
    payloads = [decode(line).payload for line in events.read_text("utf-8").splitlines()]
    seen = [(each.subject_id, each.variant_key) for each in payloads if isinstance(each, Exposure)]
    assert seen == [("ann", "green"), ("mary", "blue")]


@pytest.mark.parametrize("route", ["/live", "/ready"])
def test_it_is_alive_and_ready(client: TestClient, route: str) -> None:
    answer = client.get(route)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["status"] == "HEALTHY"


def test_a_backplane_that_is_down_makes_it_unready_and_leaves_it_alive(
    service: ModuleType, events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTS_PATH", str(events.parent / "gone" / "events.jsonl"))
    (events.parent / "gone").mkdir()
    with TestClient(service.app) as client:
        (events.parent / "gone").rmdir()
        client.get("/checkout/ann")
        service.app.state.plane.flush(10)
        assert client.get("/ready").status_code == 503
        assert client.get("/live").status_code == 200


def test_its_metrics_are_those_of_the_data_plane(client: TestClient) -> None:
    client.get("/checkout/ann")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "experiment_framework_events_offered_total 1.0" in answer.text
