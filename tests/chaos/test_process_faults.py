"""Publishing processes are killed, share a spool, and have their clock set back."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos_settings import TEST_SECONDS, thorough
from lab import Lab
from stepping_clock import SteppingClock

pytestmark = [pytest.mark.broker, pytest.mark.timeout(TEST_SECONDS)]


def test_nothing_accepted_is_lost_when_the_publisher_is_killed_at_random_moments(
    lab: Lab,
) -> None:
    rounds = thorough(50, 5)
    for number in range(rounds):
        if lab.random.random() < 1 / 3:
            lab.broker.proxy.black_hole()
        publisher = lab.start(mode="writeAhead")
        if number % 5:
            publisher.wait_for(1)
            publisher.wait_a_moment(lab.random.uniform(0, 0.5))
        else:  # while it starts, and takes over what the former one left
            publisher.wait_a_moment(lab.random.uniform(0.2, 1.0))
        publisher.kill()
        lab.broker.proxy.restore()
    last = lab.start(mode="writeAhead")
    last.wait_for(100)
    outcome = last.finish()
    row = lab.audit(f"publisher killed {rounds} times, writeAhead", outcome)
    assert row.accounted == 0


def test_two_processes_share_a_spool(lab: Lab) -> None:
    lab.broker.proxy.black_hole()
    first, second = (lab.start(mode="writeAhead") for _ in range(2))
    first.wait_for(500, status="spooled")
    second.wait_for(500, status="spooled")
    first.kill()
    third = lab.start(mode="writeAhead")
    third.wait_for(500)
    lab.broker.proxy.restore()
    outcomes = [publisher.finish() for publisher in (second, third)]
    row = lab.audit("two processes on one spool, one killed", *outcomes)
    assert row.accounted == 0
    assert [outcome["stats"]["recovered"] > 0 for outcome in outcomes] == [False, True]
    assert not list(lab.spool.rglob("*.segment"))


def test_nothing_is_lost_when_the_clock_is_set_back(lab: Lab, tmp_path: Path) -> None:
    clock = SteppingClock(tmp_path)
    publisher = lab.start(mode="writeAhead", environment=clock.environment)
    publisher.wait_for(300)
    for step in (-3600, -7 * 86_400, 0):
        clock.step(step)
        lab.broker.proxy.black_hole()
        publisher.wait_for(300, status="spooled")
        lab.broker.proxy.restore()
        publisher.wait_for(300)
    outcome = publisher.finish()
    row = lab.audit("clock set back by an hour and by a week, then on by eight days", outcome)
    assert row.accounted == 0
    assert row.duplicates <= outcome["replayed"]
