from __future__ import annotations

import logging

import pytest
from experiment_framework._delivery import ThrottledLog


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
