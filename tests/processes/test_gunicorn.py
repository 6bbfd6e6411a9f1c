"""A real gunicorn that loads the application before it forks."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from child_programs import Events

APPLICATION = """
import os
from experiment_framework import DataPlane, Exposure
from experiment_framework.probes import liveness, readiness

def exposure(subject):
    return Exposure(experiment_name="checkout", variant_key="b", subject_id=subject)

plane = DataPlane.from_config({"experimentFramework": {"dataPlane": {
    "flushIntervalMs": 60000,
    "backplane": {"type": "file", "options": {"path": os.environ["EVENTS"]}},
}}})
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


@pytest.fixture
def server(tmp_path: Path, events: Events, port: int) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "shop.py").write_text(APPLICATION, "utf-8")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--preload", "--workers", "2"),
            *("--bind", f"127.0.0.1:{port}", "--log-level", "warning"),
            *("--worker-tmp-dir", str(tmp_path), "shop:application"),
        ],
        cwd=tmp_path,
        env={"EVENTS": str(events.path), "PATH": ""},
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
    server: subprocess.Popen[str], events: Events, port: int
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
    assert events.subjects() == Counter(["before the fork", *map(str, range(200))])
