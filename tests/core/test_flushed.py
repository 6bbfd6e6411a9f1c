"""Flushing when a block or a function is left costs little, however the sink is doing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

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


def test_a_generator_flushes_at_its_end_and_not_where_it_is_made(
    plane: DataPlane, control: Control, exposure: Exposure
) -> None:
    @plane.flushed(timeout=5)
    def stream() -> Iterator[int]:
        yield 1
        plane.publish(exposure)
        yield 2
        assert not control.records

    assert list(stream()) == [1, 2]
    assert len(control.records) == 1


def test_an_asynchronous_generator_flushes_at_its_end_and_is_told_what_is_thrown_into_it(
    plane: DataPlane, control: Control, exposure: Exposure
) -> None:
    seen = []

    @plane.flushed(timeout=5)
    async def stream() -> AsyncGenerator[int, str]:
        seen.append((yield 1))
        plane.publish(exposure)
        try:
            yield 2
        except KeyError as error:
            seen.append(repr(error))
            yield 3
        assert not control.records

    async def main() -> list[int]:
        generator = stream()
        return [
            await anext(generator),
            await generator.asend("sent"),
            await generator.athrow(KeyError("thrown")),
            *[item async for item in generator],
        ]

    assert asyncio.run(main()) == [1, 2, 3]
    assert seen == ["sent", "KeyError('thrown')"]
    assert len(control.records) == 1


def test_a_generator_that_is_closed_early_flushes_too(
    plane: DataPlane, control: Control, exposure: Exposure
) -> None:
    @plane.flushed(timeout=5)
    async def stream() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            plane.publish(exposure)

    async def main() -> None:
        generator = stream()
        await anext(generator)
        await generator.aclose()

    asyncio.run(main())
    assert len(control.records) == 1


def test_a_coroutine_that_raises_flushes_too(
    plane: DataPlane, control: Control, exposure: Exposure
) -> None:
    @plane.flushed(timeout=5)
    async def handler() -> None:
        plane.publish(exposure)
        raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(handler())
    assert len(control.records) == 1


def test_a_coroutine_flushes_while_the_threads_of_the_loop_are_all_busy(
    plane: DataPlane, control: Control, exposure: Exposure
) -> None:
    busy = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        blocked = loop.run_in_executor(None, busy.wait, 30)
        try:
            async with asyncio.timeout(10), plane.flushed(timeout=5):
                plane.publish(exposure)
            assert len(control.records) == 1
        finally:
            busy.set()
            await blocked

    asyncio.run(main())
