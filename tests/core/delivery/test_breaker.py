from __future__ import annotations

from experiment_framework._delivery.breaker import Breaker


def test_it_opens_after_a_wait_in_vain_and_tries_again_after_a_while() -> None:
    now = 0.0
    breaker = Breaker(retry_after=30.0, clock=lambda: now)
    assert not breaker.is_open
    breaker.record(success=False)
    now = 29.0
    assert breaker.is_open
    now = 30.0
    assert not breaker.is_open


def test_a_success_closes_it() -> None:
    breaker = Breaker(retry_after=30.0, clock=lambda: 0.0)
    breaker.record(success=False)
    breaker.record(success=True)
    assert not breaker.is_open
