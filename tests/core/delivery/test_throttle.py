from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from experiment_framework import DataPlane, DataPlaneOptions, Exposure
from experiment_framework._delivery import ThrottledLog
from sinks import BatchSink, Control


def test_a_kind_is_logged_once_an_interval_and_the_rest_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 100.0
    log = ThrottledLog(interval=10.0, clock=lambda: now)
    with caplog.at_level(logging.WARNING, "experiment_framework"):
        for _ in range(5):
            log.report("full", "no room")
        log.report("other", "something else")
        now = 111.0
        log.report("full", "no room")
    assert caplog.messages == [
        "no room",
        "something else",
        "no room (4 more since the last such warning)",
    ]


class Broken(logging.Handler):
    """Raises, as a handler of an application may."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("the handler is broken")


@pytest.fixture
def broken_handler() -> Iterator[None]:
    handler = Broken()
    logger = logging.getLogger("experiment_framework")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.usefixtures("broken_handler")
def test_a_log_handler_that_raises_is_printed_and_changes_nothing_else(
    sink: BatchSink, control: Control, exposure: Exposure, capsys: pytest.CaptureFixture[str]
) -> None:
    control.hold()
    plane = DataPlane(sink, DataPlaneOptions(batch_size=1, max_queue_size=3, retry_deadline_ms=0))
    control.fail_next(OSError("down"))
    receipts = [plane.publish(exposure) for _ in range(10)]
    control.release()
    result = plane.close(5)
    accepted = [receipt for receipt in receipts if receipt.status == "accepted"]
    assert (result.failed, result.pending) == (1, 0)
    assert result.delivered == len(accepted) - 1
    assert plane.publish(exposure).reason == "closed"
    assert "the handler is broken" in capsys.readouterr().err
