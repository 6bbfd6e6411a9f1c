"""Threads publish at once, callbacks call back, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from pathlib import Path
from typing import Final

import pytest

from experiment_framework.results import DeliveryReport
from experiment_framework.testing._cases.harness import Harness, until

__all__ = ["ThreadCases"]

_TASKS: Final = Path("/proc/self/task")
_FILES: Final = Path("/proc/self/fd")
_FIRST: Final = 20


class ThreadCases:
    """With the sink there and well."""

    def test_several_threads_may_publish_at_once(self, harness: Harness) -> None:
        plane = harness.plane()
        accepted: list[str] = []
        start = threading.Barrier(8)

        def work(key: int) -> None:
            start.wait()
            accepted.extend(harness.publish(plane, 100, key=key))

        threads = [threading.Thread(target=work, args=(key,)) for key in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        harness.flush(plane)
        assert len(accepted) == 800
        harness.expect(accepted)

    def test_an_event_loop_can_await_a_fate(self, harness: Harness) -> None:
        plane = harness.plane()
        receipt = asyncio.run(plane.apublish(harness.event(), harness.patience))
        assert receipt.status == "delivered", receipt

    def test_a_callback_may_publish(self, harness: Harness) -> None:
        further: list[str] = []

        def publish_another(report: DeliveryReport) -> None:
            if len(further) < _FIRST and report.status == "delivered":
                further.extend(harness.publish(plane, 1))
            plane.stats()
            plane.health()

        plane = harness.plane(on_delivery=publish_another)
        first = harness.publish(plane, _FIRST)
        harness.flush(plane)
        assert until(lambda: len(further) == _FIRST, harness.patience), (
            f"{len(further)} of {_FIRST} callbacks came to their end"
        )
        harness.flush(plane)
        harness.expect([*first, *further])

    def test_a_callback_that_raises_stops_nothing(self, harness: Harness) -> None:
        def raise_error(_: DeliveryReport) -> None:
            raise RuntimeError("the application's own mistake")

        plane = harness.plane(on_delivery=raise_error)
        first = harness.publish(plane, 5)
        harness.flush(plane)
        second = harness.publish(plane, 5)
        harness.flush(plane)
        harness.expect([*first, *second])

    def test_no_thread_is_left_after_close(self, harness: Harness) -> None:
        self._use_once(harness)  # what a library starts once for the process is not a leak
        before = _threads()
        self._use_once(harness)
        until(lambda: not _threads().keys() - before.keys(), harness.patience)
        left = {name for task, name in _threads().items() if task not in before}
        assert not left, f"threads that `close` left running: {sorted(left)}"

    @pytest.mark.skipif(not _FILES.exists(), reason="open files are counted in /proc/self/fd")
    def test_no_file_and_no_socket_is_left_open_after_close(self, harness: Harness) -> None:
        self._use_once(harness)
        before = _open_files()
        for _ in range(3):
            self._use_once(harness)
        until(lambda: len(_open_files()) <= len(before), harness.patience)
        left = _open_files()
        grown = [where for file, where in left.items() if before.get(file) != where]
        assert len(left) <= len(before), f"left open by `close`: {grown}"

    def _use_once(self, harness: Harness) -> None:
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        harness.within(harness.patience + 5, "close", lambda: plane.close(harness.patience))


def _threads() -> dict[int, str]:
    """Name the threads of this process, those of C libraries too where that can be found out."""
    if not _TASKS.exists():
        return {thread.ident or 0: thread.name for thread in threading.enumerate()}
    names = {thread.native_id or 0: thread.name for thread in threading.enumerate()}
    found: dict[int, str] = {}
    for task in _TASKS.iterdir():
        try:
            found[int(task.name)] = names.get(
                int(task.name), (task / "comm").read_text("utf-8").strip()
            )
        except OSError:  # it ended meanwhile
            continue
    return found


def _open_files() -> dict[str, str]:
    gc.collect()
    found: dict[str, str] = {}
    for file in os.listdir(_FILES):  # noqa: PTH208  # names are enough
        try:
            found[file] = os.readlink(_FILES / file)  # noqa: PTH115  # not a path: socket:[123]
        except OSError:  # the folder's own descriptor
            continue
    return found
