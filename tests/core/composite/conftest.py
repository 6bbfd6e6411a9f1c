"""Data planes with several backplanes, of which a test decides what they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from experiment_framework import DataPlane, Exposure
from experiment_framework._registry import Registry
from experiment_framework.plugin import Backplane
from sinks import BatchSink, Control


@pytest.fixture
def exposure() -> Exposure:
    return Exposure(experiment_name="checkout", variant_key="treatment", subject_id="user-1")


class Members:
    """Sinks by the names of the members that they are."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.controls: dict[str, Control] = {}
        self.planes: list[DataPlane] = []

    def add(self, *names: str) -> None:
        for name in names:
            sink = BatchSink()
            self.controls[name] = Control(sink)
            self.registry.register_backplane(name, sink)

    def add_plugin(self, name: str, plugin: Backplane[Any]) -> None:
        self.registry.register_backplane(name, plugin)

    def plane(self, written: dict[str, dict[str, Any]], **data_plane: Any) -> DataPlane:
        """Make a data plane with members of these names, each with what is said about it."""
        backplanes = [
            {
                "name": name,
                "type": name,
                "flushIntervalMs": 5,
                "retryBackoffMs": 1,
                "retryBackoffMaxMs": 20,
                **said,
            }
            for name, said in written.items()
        ]
        config = {"experimentFramework": {"dataPlane": {"backplanes": backplanes, **data_plane}}}
        plane = DataPlane.from_config(config, registry=self.registry)
        self.planes.append(plane)
        return plane

    def arrived(self, name: str) -> list[str]:
        return [record.event_id for record in self.controls[name].records]


@pytest.fixture
def members() -> Iterator[Members]:
    members = Members()
    yield members
    for control in members.controls.values():
        control.release()
    for plane in members.planes:
        plane.close(0.5)


PublishMany = Callable[[DataPlane, int], list[str]]


@pytest.fixture
def publish(exposure: Exposure) -> PublishMany:
    def publish(plane: DataPlane, count: int) -> list[str]:
        return [plane.publish(exposure, event_id=str(each)).event_id for each in range(count)]

    return publish
