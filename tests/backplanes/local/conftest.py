"""Records to write, and the one who is told what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from experiment_framework.envelope import Envelope, Record, encode
from experiment_framework.events import Exposure, Outcome
from experiment_framework_local import FileBackplane, FileOptions


class RecordingContext:
    """Keeps what a backplane reports."""

    max_queue_size = 1000
    max_queue_bytes = 1_000_000

    def __init__(self, *, report_each: bool = False) -> None:
        self.report_each = report_each
        self.delivered_records: list[Record] = []
        self.failed_records: list[tuple[Record, str]] = []

    def delivered(self, record: Record) -> None:
        self.delivered_records.append(record)

    def delivered_all(self, records: Sequence[Record]) -> None:
        self.delivered_records.extend(records)

    def failed(self, record: Record, reason: str) -> None:
        self.failed_records.append((record, reason))


@pytest.fixture
def context() -> RecordingContext:
    return RecordingContext(report_each=True)


@pytest.fixture
def record() -> Callable[..., Record]:
    """Make the record of an exposure, or of an outcome where a metric is named."""

    def make(
        subject_id: str = "user-1", *, metric_name: str | None = None, **fields: Any
    ) -> Record:
        fields = {"experiment_name": "checkout", "subject_id": subject_id} | fields
        if metric_name is None:
            event = Exposure(**({"variant_key": "treatment"} | fields))
        else:
            event = Outcome(metric_name=metric_name, outcome_type="Binary", value=1, **fields)
        return encode(Envelope.around(event))

    return make


@pytest.fixture
def records(record: Callable[..., Record]) -> Callable[[int], list[Record]]:
    return lambda count: [record(f"user-{index}") for index in range(count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def open_file(path: Path) -> Iterator[Callable[..., FileBackplane]]:
    """Open file backplanes that are closed when the test ends."""
    opened: list[FileBackplane] = []

    def make(**written: Any) -> FileBackplane:
        backplane = FileBackplane(FileOptions(**({"path": str(path)} | written)))
        backplane.open()
        opened.append(backplane)
        return backplane

    yield make
    for backplane in opened:
        backplane.close(5)
