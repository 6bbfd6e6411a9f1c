"""Data planes over backplanes of which a test decides what they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from experiment_framework import DataPlane, DataPlaneOptions, Exposure
from sinks import BatchSink, Control


@pytest.fixture
def sink() -> BatchSink:
    return BatchSink()


@pytest.fixture
def control(sink: BatchSink) -> Iterator[Control]:
    control = Control(sink)
    yield control
    control.release()


@pytest.fixture
def make_plane() -> Iterator[Callable[..., DataPlane]]:
    """Make data planes that are closed when the test ends."""
    planes: list[DataPlane] = []

    def make(backplane: object, *, steps: Sequence[Any] = (), **written: Any) -> DataPlane:
        plane = DataPlane(backplane, DataPlaneOptions(**written), steps=steps)
        planes.append(plane)
        return plane

    yield make
    for plane in planes:
        plane.close(0.5)


@pytest.fixture
def exposure() -> Exposure:
    return Exposure(experiment_name="checkout", variant_key="treatment", subject_id="user-1")
