"""A real uWSGI that loads the application before it forks, with the settings that it has."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx2
import pytest
from child_programs import Events

pytest.importorskip("pyuwsgi", reason="there is no uWSGI for this system")

APPLICATION = """
import os
from experiment_framework import DataPlane, Exposure

plane = DataPlane.from_config({"experimentFramework": {"dataPlane": {
    "flushIntervalMs": 60000,
    "backplane": {"type": "file", "options": {"path": os.environ["EVENTS"]}},
}}})

def publish(subject):
    event = Exposure(experiment_name="checkout", variant_key="b", subject_id=subject)
    return plane.publish(event).status

publish("before the fork")

def application(environ, start_response):
    status = publish(environ["PATH_INFO"].strip("/"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{status} {os.getpid()}".encode()]
"""


@pytest.mark.parametrize("arguments", [(), ("--py-call-uwsgi-fork-hooks",), ("--lazy-apps",)])
def test_workers_deliver_each_event_once(
    tmp_path: Path, events: Events, arguments: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (tmp_path / "shop.py").write_text(APPLICATION, "utf-8")
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-c", "import sys, pyuwsgi; pyuwsgi.run(sys.argv[1:])"),
                *("--http-socket", f"127.0.0.1:{port}", "--master", "--processes", "2"),
                *("--enable-threads", "--worker-reload-mercy", "20", "--virtualenv", sys.prefix),
                *("--wsgi", "shop:application", *arguments),
            ],
            cwd=tmp_path,
            env={"EVENTS": str(events.path), "PATH": "", "PYTHONPATH": str(tmp_path)},
            stdout=log,
            stderr=log,
        )
    try:
        answers = [ask(port, number) for number in range(100)]
        assert {answer.split()[0] for answer in answers} == {"accepted"}
        assert str(server.pid) not in {answer.split()[1] for answer in answers}
        server.send_signal(signal.SIGINT)
        server.wait(30)
    finally:
        server.kill()
        server.wait()
    found = events.subjects()
    # uWSGI's master ends without exit handlers; what matters is that no worker sends what is its.
    before = found.pop("before the fork", 0)
    assert before == (2 if "--lazy-apps" in arguments else 0), (tmp_path / "log").read_text()
    assert found == Counter(map(str, range(100))), (tmp_path / "log").read_text()


def ask(port: int, number: int) -> str:
    deadline = time.monotonic() + 30
    while True:
        try:
            return httpx2.get(f"http://127.0.0.1:{port}/{number}", timeout=20).text
        except httpx2.ConnectError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
