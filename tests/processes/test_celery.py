"""A real Celery whose workers are replaced after a few tasks, and stopped in the end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from celery import Celery  # type: ignore[import-untyped]  # it has no types
from child_programs import Events

TASKS = """
import os
from celery import Celery
from experiment_framework import DataPlane, Exposure

app = Celery("tasks")
app.config_from_object("settings")
plane = DataPlane.from_config({"experimentFramework": {"dataPlane": {
    "flushIntervalMs": 60000,
    "backplane": {"type": "file", "options": {"path": os.environ["EVENTS"]}},
}}})

@app.task(name="publish")
def publish(subject):
    event = Exposure(experiment_name="checkout", variant_key="b", subject_id=str(subject))
    return plane.publish(event).status

publish("before the fork")
"""


def settings(folder: Path) -> dict[str, object]:
    for name in ("queue", "control", "results"):
        (folder / name).mkdir()
    queue = str(folder / "queue")
    return {
        "broker_url": "filesystem://",
        "broker_transport_options": {
            "data_folder_in": queue,
            "data_folder_out": queue,
            "control_folder": str(folder / "control"),
        },
        "result_backend": f"file://{folder / 'results'}",
    }


def test_workers_that_are_replaced_and_stopped_deliver_each_event_once(
    tmp_path: Path, events: Events
) -> None:
    configured = settings(tmp_path)
    lines = [f"{name} = {value!r}" for name, value in configured.items()]
    (tmp_path / "settings.py").write_text("\n".join(lines), "utf-8")
    (tmp_path / "tasks.py").write_text(TASKS, "utf-8")
    with (tmp_path / "log").open("w") as log:
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "prefork"),
                *("--concurrency", "2", "--max-tasks-per-child", "5", "--loglevel", "WARNING"),
            ],
            cwd=tmp_path,
            env={"EVENTS": str(events.path), "PATH": "", "C_FORCE_ROOT": "1"},
            stdout=log,
            stderr=log,
        )
    try:
        app = Celery("client")
        app.conf.update(configured)
        results = [app.send_task("publish", [number]) for number in range(23)]
        assert {result.get(timeout=40) for result in results} == {"accepted"}
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)
    finally:
        worker.kill()
        worker.wait()
    expected = Counter(["before the fork", *map(str, range(23))])
    assert events.subjects() == expected, (tmp_path / "log").read_text()
