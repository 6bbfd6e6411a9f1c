"""The network between a publisher and the broker swallows, cuts and delays."""

from __future__ import annotations

import pytest
from chaos_settings import IS_FULL, TEST_SECONDS, thorough
from lab import Lab

pytestmark = [pytest.mark.broker, pytest.mark.timeout(TEST_SECONDS)]

MODES = thorough(("overflow", "writeAhead"), ("writeAhead",))


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_lost_in_a_black_hole(lab: Lab, mode: str) -> None:
    publisher = lab.start(mode=mode)
    publisher.wait_for(500)
    for _ in range(thorough(3, 1)):
        lab.broker.proxy.black_hole()
        publisher.wait_for(500, status="spooled")
        lab.broker.proxy.restore()
        publisher.wait_for(500)
    outcome = publisher.finish()
    row = lab.audit(f"black hole, {mode}", outcome)
    assert row.accounted == 0
    assert row.duplicates <= outcome["replayed"]


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_lost_when_connections_are_reset(lab: Lab, mode: str) -> None:
    publisher = lab.start(mode=mode)
    publisher.wait_for(500)
    resets = lab.broker.proxy.resets
    lab.broker.proxy.cut_after(lambda: lab.random.randrange(200, 100_000))
    publisher.wait_a_moment(thorough(15.0, 3.0))
    lab.broker.proxy.restore()
    publisher.wait_for(500)
    outcome = publisher.finish()
    assert lab.broker.proxy.resets > resets + 3
    row = lab.audit(f"connections reset, {mode}", outcome)
    assert row.accounted == 0
    assert row.duplicates <= outcome["replayed"]


@pytest.mark.skipif(not IS_FULL, reason="in `make chaos` only")
@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_lost_when_answers_come_too_late(lab: Lab, mode: str) -> None:
    publisher = lab.start(mode=mode)
    publisher.wait_for(500)
    lab.broker.proxy.delay = 1.0
    publisher.wait_a_moment(10.0)
    lab.broker.proxy.restore()
    publisher.wait_for(500)
    outcome = publisher.finish()
    row = lab.audit(f"every answer 2 s late, {mode}", outcome)
    assert row.accounted == 0
    assert row.duplicates <= outcome["replayed"]
