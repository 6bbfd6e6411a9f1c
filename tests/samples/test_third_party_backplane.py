from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from experiment_framework import decode


class Receiver(BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    bodies: list[bytes]
    status = 204

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the base class
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[Receiver]]]:
    class Own(Receiver):
        bodies: list[bytes] = []  # noqa: RUF012  # made anew for each test

    with HTTPServer(("127.0.0.1", 0), Own) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/events", Own
        server.shutdown()
        thread.join()


@pytest.fixture
def run_installed(
    samples: Path, tmp_path: Path
) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run the quick start where the sample lies with its entry point, as pip leaves it."""
    plugin = samples / "third_party_backplane"
    project = tomllib.loads((plugin / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = tmp_path / f"webhook_backplane-{project['version']}.dist-info"
    metadata.mkdir()
    shutil.copy(plugin / "webhook_backplane.py", tmp_path)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    (metadata / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in project["entry-points"].items()
        )
    )

    def run_installed(url: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, samples / "quick_start.py", plugin / "webhook.yaml"],
            env=os.environ | {"PYTHONPATH": str(tmp_path), "WEBHOOK_URL": url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run_installed


def test_its_entry_point_is_all_that_it_takes_to_be_selected(
    receiver: tuple[str, type[Receiver]],
    run_installed: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    url, received = receiver

    done = run_installed(url)

    assert (done.returncode, done.stderr) == (0, "")
    assert "FlushResult(delivered=2, failed=0, pending=0, dropped=0, spooled=0)" in done.stdout
    lines = b"\n".join(received.bodies).splitlines()
    assert [decode(line).event_type for line in lines] == ["Exposure", "Outcome"]


def test_an_answer_of_500_is_tried_again_until_the_time_to_close_is_over(
    receiver: tuple[str, type[Receiver]],
    run_installed: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    url, received = receiver
    received.status = 500

    done = run_installed(url)

    assert done.returncode == 0
    assert "FlushResult(delivered=0, failed=0, pending=2, dropped=0, spooled=0)" in done.stdout
    assert "closed with 2 events failed" in done.stderr


def test_a_wrong_option_is_a_problem_at_its_line(
    run_installed: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    done = run_installed("ftp://127.0.0.1/")

    assert done.returncode != 0
    assert "webhook.yaml:6:" in done.stderr
