"""Flushing when a block or a function is left costs little, however the sink is doing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from experiment_framework import DataPlane, Exposure
from sinks import BatchSink, Control

MakePlane = Callable[..., DataPlane]

LONG = 60_000


@pytest.fixture
def plane(make_plane: MakePlane, sink: BatchSink) -> DataPlane:
    """One that would not write a batch by itself before the test is over."""
    return make_plane(sink, flush_interval_ms=LONG)


def test_a_block_flushes_when_it_is_left(
    plane: DataPlane, control: Control, exposure: Exposure
) -> None:
    with plane.flushed():
        plane.publish(exposure)
        assert not control.records
    assert len(control.records) == 1


def test_a_block_that_raises_flushes_too(
    plane: DataPlane, control: Control, exposure: Exposure
) -> None:
    @plane.flushed()
    def handler() -> None:
        plane.publish(exposure)
        raise KeyError

    with pytest.raises(KeyError):
        handler()
    assert len(control.records) == 1


def test_a_function_flushes_before_each_return(
    plane: DataPlane, control: Control, exposure: Exposure
) -> None:
    @plane.flushed(timeout=5)
    def handler(word: str) -> str:
        """Handle."""
        plane.publish(exposure)
        return word

    assert (handler("a"), handler("b")) == ("a", "b")
    assert len(control.records) == 2
    assert (handler.__name__, handler.__doc__) == ("handler", "Handle.")


def test_a_coroutine_function_flushes_when_it_is_done_and_the_loop_runs_on(
    plane: DataPlane, control: Control, exposure: Exposure
) -> None:
    @plane.flushed(timeout=5)
    async def handler() -> str:
        await asyncio.sleep(0)
        plane.publish(exposure)
        return "done"

    async def main() -> str:
        control.hold()
        asyncio.get_running_loop().call_later(0.05, control.release)
        return await handler()

    assert asyncio.run(main()) == "done"
    assert len(control.records) == 1


def test_an_endpoint_that_is_down_costs_once(
    plane: DataPlane, control: Control, exposure: Exposure
) -> None:
    control.hold()
    took = []
    for _ in range(10):
        began = time.monotonic()
        with plane.flushed(timeout=0.3):
            plane.publish(exposure)
        took.append(time.monotonic() - began)
    assert sum(took) < 10 * 0.3 / 2
    assert max(took[1:]) < 0.1
    assert plane.health().details["breakerOpen"]


def test_an_endpoint_that_is_up_again_is_waited_for_again(
    plane: DataPlane, control: Control, exposure: Exposure
) -> None:
    control.hold()
    with plane.flushed(timeout=0.05):
        plane.publish(exposure)
    control.release()
    plane.flush(5)
    with plane.flushed():
        pass  # nothing is left: whoever is down does not get there
    with plane.flushed():
        plane.publish(exposure)
    assert len(control.records) == 2
    assert not plane.health().details["breakerOpen"]
