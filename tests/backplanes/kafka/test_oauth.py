from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from experiment_framework.envelope import Record
from experiment_framework_kafka import KafkaBackplane, KafkaOptions, SecurityOptions
from experiment_framework_kafka.logs import ClientLog
from experiment_framework_kafka.oauth import TokenSource

SECURITY = SecurityOptions(protocol="SASL_PLAINTEXT", mechanism="OAUTHBEARER")


def test_a_token_is_given_with_its_end() -> None:
    end = time.time() + 60
    assert TokenSource(lambda: ("token", end), ClientLog())("") == ("token", end)


@pytest.mark.parametrize("error", [ValueError("secret-7f3a"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_the_function_raises_is_contained_and_told_without_its_text(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    log = ClientLog()

    def fail() -> tuple[str, float]:
        raise error

    source = TokenSource(fail, log)
    token, end = source("")
    assert (token, end > time.time()) == ("none", True)
    with caplog.at_level(logging.ERROR):
        log.write(0)
    assert type(error).__name__ in str(source.failure)
    assert "secret-7f3a" not in caplog.text + str(source.failure)


@pytest.mark.parametrize("answer", [("t", 1.0), ("t",), None, ("t", "soon"), ("t", float("nan"))])
def test_an_answer_that_is_no_good_token_is_a_failure(answer: Any) -> None:
    source = TokenSource(lambda: answer, ClientLog())
    assert source("")[0] == "none"
    assert source.failure is not None


def test_a_later_failure_leaves_the_token_that_is_still_good() -> None:
    answers = iter([("token", time.time() + 60)])
    source = TokenSource(lambda: next(answers), ClientLog())
    source("")
    with pytest.raises(RuntimeError, match="StopIteration"):
        source("")


def test_a_function_that_hangs_is_called_once_and_not_waited_for_long() -> None:
    calls = []
    release = threading.Event()

    def hang() -> tuple[str, float]:
        calls.append(1)
        release.wait(30)
        return "token", time.time() + 60

    source = TokenSource(hang, ClientLog())
    started = time.monotonic()
    assert source("")[0] == "none"
    assert source("")[0] == "none"
    assert time.monotonic() - started < 5
    assert calls == [1]
    release.set()


def test_the_function_runs_on_a_thread_of_ours_and_health_tells_its_failure(
    black_hole: str,
    ledger: Callable[..., Any],
    record: Callable[..., Record],
    until: Callable[..., None],
) -> None:
    threads = []

    def fail() -> tuple[str, float]:
        threads.append(threading.current_thread().name)
        raise LookupError

    options = KafkaOptions(brokers=[black_hole], security=SECURITY)
    backplane = KafkaBackplane(options, oauth_token=fail)
    backplane._context = ledger()
    backplane.open()
    try:
        backplane.publish(record())
        until(lambda: "LookupError" in backplane.health().message)
        assert backplane.health().status == "UNHEALTHY"
        assert set(threads) == {"experiment-kafka-token"}
    finally:
        backplane.close(0)
