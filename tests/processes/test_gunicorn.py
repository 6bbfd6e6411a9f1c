"""A real gunicorn that loads the application before it forks."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from child_programs import Events
from experiment_framework import DataPlane
from experiment_framework.envelope import Record
from experiment_framework.plugin import Query
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions

APPLICATION = """
import json, os
from experiment_framework import DataPlane, Exposure
from experiment_framework.probes import liveness, readiness

def exposure(subject):
    return Exposure(experiment_name="checkout", variant_key="b", subject_id=subject)

plane = DataPlane.from_config({"experimentFramework": json.loads(os.environ["SETTINGS"])})
plane.publish(exposure("before the fork"))

def application(environ, start_response):
    if environ["PATH_INFO"] == "/ready":
        status, body, content_type = readiness(plane)
    else:
        plane.publish(exposure(environ["PATH_INFO"].strip("/")))
        status, body, content_type = 200, str(os.getpid()).encode(), "text/plain"
    start_response(f"{status} ", [("Content-Type", content_type)])
    return [body]
"""


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number: int = listener.getsockname()[1]
        return number


@pytest.fixture(scope="module")
def kafka() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka() as kafka:
        yield kafka


@pytest.fixture(params=["file", "file written ahead", "kafka", "kafka written ahead"])
def backplane(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def arrived(backplane: str, events: Events, kafka: EmbeddedKafka) -> Callable[[], Counter[str]]:
    """Say how often the event of each subject arrived."""

    def arrived() -> Counter[str]:
        if not backplane.startswith("kafka"):
            return events.subjects()
        options = KafkaOptions(brokers=[kafka.bootstrap_servers], topic=topic_of(backplane))
        with DataPlane(KafkaBackplane(options)) as plane:
            stored = plane.read(Query(from_start=True))
            return Counter(str(Record.from_body(each.body).subject_id) for each in stored)

    return arrived


def topic_of(backplane: str) -> str:
    return backplane.replace(" ", "-")


@pytest.fixture
def server(
    tmp_path: Path, events: Events, port: int, backplane: str, kafka: EmbeddedKafka
) -> Iterator[subprocess.Popen[str]]:
    kind = backplane.partition(" ")[0]
    options = {"path": str(events.path)}
    if kind == "kafka":
        options = {"brokers": kafka.bootstrap_servers, "topic": topic_of(backplane)}
    plane: dict[str, object] = {"backplane": {"type": kind, "options": options}}
    plane["flushIntervalMs"] = 60000
    if "ahead" in backplane:
        plane["spool"] = {"directory": str(tmp_path / "spool"), "mode": "writeAhead"}
    (tmp_path / "shop.py").write_text(APPLICATION, "utf-8")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--preload", "--workers", "2"),
            *("--max-requests", "40"),
            *("--bind", f"127.0.0.1:{port}", "--log-level", "warning"),
            *("--worker-tmp-dir", str(tmp_path), "shop:application"),
        ],
        cwd=tmp_path,
        env={"SETTINGS": json.dumps({"dataPlane": plane}), "PATH": ""},
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def wait_until_ready(client: httpx2.Client) -> httpx2.Response:
    deadline = time.monotonic() + 30
    while True:
        try:
            return client.get("/ready")
        except httpx2.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_every_event_of_master_and_workers_arrives_once(
    server: subprocess.Popen[str], arrived: Callable[[], Counter[str]], port: int
) -> None:
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert wait_until_ready(client).status_code == 200
    # A connection each, so that both workers have their share.
    answers = [httpx2.get(f"http://127.0.0.1:{port}/{number}") for number in range(200)]
    assert {answer.status_code for answer in answers} == {200}
    assert str(server.pid) not in {answer.text for answer in answers}

    server.send_signal(signal.SIGTERM)
    _, err = server.communicate(timeout=30)

    assert (server.returncode, err) == (0, "")
    assert arrived() == Counter(["before the fork", *map(str, range(200))])
