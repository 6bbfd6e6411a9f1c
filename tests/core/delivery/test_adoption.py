"""What a process leaves that dies is sent by one that runs, not only by the next one to start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from experiment_framework import DataPlane, Exposure
from experiment_framework._delivery import replay
from experiment_framework.dataplane_options import SpoolOptions
from sinks import BatchSink, Control
from waiting import wait_until

MakePlane = Callable[..., DataPlane]

PROGRAM = dedent(
    """
    import os, sys, threading
    from experiment_framework import DataPlane, Exposure
    from experiment_framework.dataplane_options import DataPlaneOptions, SpoolOptions
    from experiment_framework.plugin import Backplane, options

    @options
    class NoOptions:
        pass

    class Stuck(Backplane[NoOptions]):
        def write_batch(self, records):
            threading.Event().wait()

    spool = SpoolOptions(directory=sys.argv[1], mode="writeAhead")
    plane = DataPlane(Stuck(NoOptions()), DataPlaneOptions(spool=spool))
    for n in range(20):
        plane.publish(
            Exposure(experiment_name="e", variant_key="v", subject_id="s"), event_id=f"left-{n}"
        )
    os.kill(os.getpid(), 9)
    """
)
LEFT = [f"left-{number}" for number in range(20)]


@pytest.fixture
def spool(tmp_path: Path) -> SpoolOptions:
    return SpoolOptions(directory=tmp_path / "spool")


def die_with_records_left(spool: SpoolOptions) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM, str(spool.directory)], timeout=60, check=False)


def arrived(control: Control) -> list[str]:
    return [record.event_id for record in control.records]


def test_a_process_that_has_used_its_disk_adopts_what_others_leave(
    make_plane: MakePlane,
    sink: BatchSink,
    control: Control,
    exposure: Exposure,
    spool: SpoolOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay, "ADOPT_INTERVAL", 0.05)
    plane = make_plane(sink, spool=spool, flush_interval_ms=1)
    control.fail_next(OSError("down"))
    first = plane.publish(exposure).event_id
    assert plane.flush(20).delivered == 1

    die_with_records_left(spool)

    wait_until(lambda: len(control.records) == 21, timeout=20, what="what was left")
    assert arrived(control) == [first, *LEFT]
    assert plane.stats().recovered == 20


def test_the_next_one_to_start_adopts_it_at_once(
    make_plane: MakePlane, sink: BatchSink, control: Control, spool: SpoolOptions
) -> None:
    die_with_records_left(spool)

    plane = make_plane(sink, spool=spool, flush_interval_ms=1)

    assert plane.stats().recovered == 20
    assert plane.flush(20).delivered == 20
    assert arrived(control) == LEFT
