"""Spools, and records to put into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crashes import crash
from experiment_framework._delivery.spool import Spool
from experiment_framework.envelope import Record

MakeSpool = Callable[..., Spool]
MakeRecord = Callable[..., Record]


def record_of(number: int, size: int = 0) -> Record:
    """Make a small record that knows its number."""
    body = (
        b'{"eventId":"%d","timestamp":"2026-01-02T03:04:05.000006Z","eventType":"Outcome",'
        b'"schemaVersion":"1.0.0","payload":{"experimentName":"e%d","filler":"%s"}}'
    )
    return Record.from_body(body % (number, number % 7, b"." * size))


@pytest.fixture
def make_record() -> MakeRecord:
    return record_of


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def make_spool(directory: Path) -> Iterator[MakeSpool]:
    """Open spools that are closed when the test ends."""
    spools: list[Spool] = []

    def make(**written: Any) -> Spool:
        defaults: dict[str, Any] = {
            "max_bytes": 2**30,
            "when_full": "reject",
            "fsync": "never",
        }
        spool = Spool(directory, **(defaults | written))
        spools.append(spool)
        spool.open()
        return spool

    yield make
    for spool in spools:
        spool.close()


@pytest.fixture
def abandon() -> Callable[[Spool], None]:
    """Leave a spool as a process does that is killed: locks are gone, nothing is written."""
    return crash


@pytest.fixture
def ids() -> Callable[[Spool], list[int]]:
    """Hand out everything and give the records' numbers."""

    def read(spool: Spool) -> list[int]:
        return [int(record.event_id) for _, record in spool.pending()]

    return read
