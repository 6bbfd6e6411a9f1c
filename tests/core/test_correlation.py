"""The events of one request are tied together without passing an id along."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
import types
import uuid
from typing import Any

import pytest
from experiment_framework import EventError, correlation
from experiment_framework.correlation import current_correlation_id
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider


def test_there_is_no_correlation_id_outside_a_block() -> None:
    assert current_correlation_id() is None


def test_blocks_nest() -> None:
    with correlation("outer"):
        with correlation("inner"):
            assert current_correlation_id() == "inner"
        assert current_correlation_id() == "outer"
    assert current_correlation_id() is None


def test_a_block_ends_when_it_raises() -> None:
    with pytest.raises(KeyError), correlation("request-1"):
        raise KeyError
    assert current_correlation_id() is None


def test_a_function_can_be_a_block() -> None:
    @correlation("job-1")
    def job() -> str | None:
        return current_correlation_id()

    assert [job(), job()] == ["job-1", "job-1"]
    assert current_correlation_id() is None


def test_a_uuid_is_taken_as_its_string() -> None:
    with correlation(uuid.UUID(int=7)):
        assert current_correlation_id() == "00000000-0000-0000-0000-000000000007"


@pytest.mark.parametrize("value", ["", None, 5, b"id"])
def test_what_is_no_id_is_refused_where_it_is_given(value: Any) -> None:
    with pytest.raises(EventError, match=r"^correlation_id: expected"), correlation(value):
        pytest.fail("the block was entered")


def test_requests_that_run_at_once_do_not_mix() -> None:
    async def request(name: str) -> list[str | None]:
        with correlation(name):
            seen = [current_correlation_id()]
            await asyncio.sleep(0)
            seen.append(await asyncio.to_thread(current_correlation_id))
            seen.append(await asyncio.create_task(task()))
        return seen

    async def task() -> str | None:
        return current_correlation_id()

    async def both() -> list[list[str | None]]:
        return await asyncio.gather(request("a"), request("b"))

    assert asyncio.run(both()) == [["a"] * 3, ["b"] * 3]


def test_a_thread_has_it_where_it_runs_in_a_copy_of_the_context() -> None:
    seen: list[str | None] = []
    with correlation("request-1"):
        context = contextvars.copy_context()
        threads = [
            threading.Thread(target=lambda: seen.append(context.run(current_correlation_id))),
            threading.Thread(target=lambda: seen.append(current_correlation_id())),
        ]
    for thread in threads:
        thread.start()
        thread.join()

    assert seen == ["request-1", None]


def test_the_current_trace_is_the_correlation_id_where_there_is_no_block() -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        assert current_correlation_id() == trace_id
        with correlation("request-1"):
            assert current_correlation_id() == "request-1"
    assert current_correlation_id() is None


def test_opentelemetry_that_is_still_being_imported_is_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", types.ModuleType("opentelemetry.trace"))

    assert current_correlation_id() is None


def test_opentelemetry_is_never_imported_for_it() -> None:
    program = (
        "import sys; from experiment_framework.correlation import current_correlation_id\n"
        "assert current_correlation_id() is None\n"
        "sys.exit('opentelemetry' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
