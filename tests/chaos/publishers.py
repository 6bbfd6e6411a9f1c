"""Starts publishing programs, and reads what they noted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from waiting import wait_until

__all__ = ["Note", "Publisher", "configuration"]

PROGRAM = Path(__file__).with_name("publishing_program.py")
START_SECONDS = 30.0
END_SECONDS = 15.0

TEMPLATE = """
experimentFramework:
  dataPlane:
    failureMode: spool
    maxQueueSize: {queue_size}
    spool:
      directory: {directory}
      mode: {mode}
      maxBytes: {max_bytes}
    backplane:
      type: kafka
      options:
        brokers: [{broker}]
        topic: {topic}
        partitionBy: subjectId
        lingerMs: 5
        deliveryTimeoutMs: 2000
        requestTimeoutMs: 1500
        additionalConfig:
          reconnect.backoff.max.ms: 500
"""


def configuration(
    path: Path,
    *,
    broker: str,
    topic: str,
    directory: Path,
    mode: str,
    max_bytes: int = 256 * 2**20,
    queue_size: int = 20_000,
) -> Path:
    """Write the YAML file of a data plane that gives records up soon, and spools them."""
    path.write_text(
        TEMPLATE.format(
            broker=broker,
            topic=topic,
            directory=directory,
            mode=mode,
            max_bytes=max_bytes,
            queue_size=queue_size,
        ),
        "utf-8",
    )
    return path


class Note(NamedTuple):
    """One line that a program wrote as soon as it knew."""

    status: str
    event_id: str
    reason: str


class Publisher:
    """One run of the program, however it ends.

    Attributes:
        name: What its files are called.
    """

    def __init__(
        self, name: str, config: Path, *options: str, environment: dict[str, str] | None = None
    ) -> None:
        self.name = name
        folder = config.parent
        self._log = folder / f"{name}.log"
        self._outcome = folder / f"{name}.json"
        self._errors = folder / f"{name}.err"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, PROGRAM, config, self._log, self._outcome, *options],
                stdin=subprocess.PIPE,
                stdout=errors,
                stderr=errors,
                env=os.environ | (environment or {}),
            )

    def notes(self) -> list[Note]:
        """What it noted so far, whole lines only."""
        if not self._log.exists():
            return []
        lines = self._log.read_text("utf-8").rpartition("\n")[0].splitlines()
        return [Note(*line.split(" ", 2)) for line in lines]

    def wait_for(self, more: int, *, status: str = "") -> None:
        """Wait until it has published so many more events, of one status where one is given."""
        goal = self._count(status) + more

        def is_there() -> bool:
            assert self._process.poll() is None, self.errors
            return self._count(status) >= goal

        wait_until(is_there, timeout=START_SECONDS, what=f"{more} more events, {self.name}")

    def _count(self, status: str) -> int:
        return sum(1 for note in self.notes() if note.status.startswith(status))

    def wait_a_moment(self, seconds: float) -> None:
        """Let it run for so long; fail where it ends."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise AssertionError(f"it ended by itself: {self.errors}")

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.communicate()

    def finish(self, budget: float = 60.0) -> dict[str, Any]:
        """Have it send what it has within the budget and end; give its own accounts."""
        try:
            self._process.communicate(f"{budget}\n".encode(), timeout=budget + END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        assert self._process.returncode == 0, self.errors
        outcome: dict[str, Any] = msgspec.json.decode(self._outcome.read_bytes())
        return outcome

    @property
    def errors(self) -> str:
        """What it wrote on its standard streams, the end of it."""
        return self._errors.read_text("utf-8", errors="replace")[-4000:]

    def leave(self) -> None:
        """Have it gone, whatever became of the test."""
        if self._process.poll() is None:
            self.kill()
        elif self._process.stdin is not None:
            self._process.stdin.close()
