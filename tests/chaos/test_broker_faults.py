"""The broker crashes, freezes and loses its topic."""

from __future__ import annotations

import pytest
from chaos_settings import TEST_SECONDS, thorough
from kafka_audit import delete_topic
from lab import Lab

pytestmark = [pytest.mark.broker, pytest.mark.timeout(TEST_SECONDS)]

MODES = thorough(("overflow", "writeAhead"), ("overflow",))


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_lost_when_the_broker_is_killed_and_restarted(lab: Lab, mode: str) -> None:
    publisher = lab.start(mode=mode)
    publisher.wait_for(500)
    for _ in range(thorough(3, 1)):
        lab.broker.kill()
        publisher.wait_for(500, status="spooled")
        lab.broker.start()
        publisher.wait_for(500)
    outcome = publisher.finish()
    row = lab.audit(f"broker killed and restarted, {mode}", outcome)
    assert row.accounted == 0
    assert row.duplicates <= outcome["replayed"]


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_lost_when_the_broker_is_frozen(lab: Lab, mode: str) -> None:
    seconds = thorough(20.0, 3.0)
    publisher = lab.start(mode=mode)
    publisher.wait_for(500)
    lab.broker.pause()
    try:
        publisher.wait_a_moment(seconds)
    finally:
        lab.broker.resume()
    publisher.wait_for(500)
    outcome = publisher.finish()
    row = lab.audit(f"broker stopped for {seconds:.0f} s, {mode}", outcome)
    assert row.accounted == 0
    assert row.duplicates <= outcome["replayed"]


def test_only_what_a_deleted_topic_took_with_it_is_missing(lab: Lab) -> None:
    publisher = lab.start("--note-fates", mode="writeAhead")
    publisher.wait_for(500, status="delivered")
    delete_topic(lab.broker.bootstrap_servers, lab.topic)
    publisher.wait_for(500, status="spooled")
    before = publisher.notes()  # whatever is acknowledged by now, the old topic had it
    lab.create_topic()
    publisher.wait_for(500, status="delivered")
    outcome = publisher.finish()
    acknowledged = {note.event_id for note in before if note.status == "delivered"}
    row = lab.audit("topic deleted and made anew", outcome, explained=acknowledged)
    assert 0 < row.accounted <= len(acknowledged)
    assert outcome["stats"]["failed"] == 0
